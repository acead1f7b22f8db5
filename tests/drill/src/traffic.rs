//! What clients do while the house is disturbed: each slot has one session after the other; meddlers give commands to sessions of
//! others, the same ones twice among them; somebody halts tenants and releases them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use futures::future::join;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use squall_drill_checker::files::{Answer, Shown};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::client::{Client, History, Op};
use crate::house::{TENANTS, TOOLS};
use crate::session::{Draft, draw};

/// Who meddles.
const MEDDLERS: usize = 2;
/// Clients in all: one for each slot, the meddlers, who halts, and who looks at everything in the calm.
pub(crate) const CLIENTS: usize = TOOLS + MEDDLERS + 2;
/// Attempts at one command before a client gives up: over every election.
const TRIES: usize = 6;
/// Sessions that meddlers look at: the newest ones.
const RECENT: usize = 10;
/// Longest wait of a slot for the end of its session; then the slot rests until the calm.
const OVER_WITHIN: Duration = Duration::from_secs(60);

/// All clients, and what they know together.
#[derive(Clone)]
pub(crate) struct Traffic {
    /// The clients.
    pub(crate) clients: Rc<Vec<Client>>,
    /// Every session that was ever asked for.
    pub(crate) sessions: Rc<RefCell<Vec<Draft>>>,
    next: Rc<Cell<u64>>,
    seed: u64,
    calm: Rc<Cell<bool>>,
}

impl Traffic {
    /// The clients behind their relays.
    ///
    /// # Errors
    /// When a port makes no address.
    pub(crate) fn new(doors: &[Vec<u16>], history: &History, seed: u64) -> Result<Self> {
        let numbered = doors.iter().enumerate();
        let clients = numbered.map(|(number, doors)| Client::new(number, doors, history));
        Ok(Self {
            clients: Rc::new(clients.collect::<Result<_>>()?),
            sessions: Rc::default(),
            next: Rc::default(),
            seed,
            calm: Rc::default(),
        })
    }

    /// The client that looks at everything in the calm.
    pub(crate) fn inspector(&self) -> &Client {
        &self.clients[CLIENTS - 1]
    }

    /// Begins to work. The tasks end by themselves after [`Traffic::settle`].
    pub(crate) fn begin(&self, stretch: u64) -> JoinSet<()> {
        self.calm.set(false);
        let mut tasks = JoinSet::new();
        for number in 0..CLIENTS - 1 {
            let (traffic, client) = (self.clone(), self.clients[number].clone());
            let random = StdRng::seed_from_u64(self.seed ^ (stretch << 32) ^ (number as u64 + 1));
            tasks.spawn_local(async move {
                match number {
                    number if number < TOOLS => traffic.slot(client, number, random).await,
                    number if number < TOOLS + MEDDLERS => traffic.meddle(client, random).await,
                    _ => traffic.halts(client, random).await,
                }
            });
        }
        tasks
    }

    /// Nobody begins anything new.
    pub(crate) fn settle(&self) {
        self.calm.set(true);
    }

    fn request(&self) -> String {
        self.next.set(self.next.get() + 1);
        format!("r{}", self.next.get())
    }

    /// A rest that the calm makes short.
    async fn rest(&self, random: &mut StdRng, seconds: std::ops::Range<f64>) {
        let until = Instant::now() + Duration::from_secs_f64(random.random_range(seconds));
        while !self.calm.get() && Instant::now() < until {
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn slot(&self, client: Client, slot: usize, mut random: StdRng) {
        self.rest(&mut random, 0.0..4.0).await;
        while !self.calm.get() {
            self.next.set(self.next.get() + 1);
            let draft = draw(&mut random, self.next.get(), slot);
            self.sessions.borrow_mut().push(draft.clone());
            if !self.live(&client, &draft, &mut random).await {
                return;
            }
        }
    }

    /// One life of a session; whether it is over for certain.
    async fn live(&self, client: &Client, draft: &Draft, random: &mut StdRng) -> bool {
        let insist = async |op: Op| client.insist(&draft.name, &op, &self.request(), TRIES).await;
        let created = insist(Op::Create(Box::new(draft.spec.clone()))).await;
        if !matches!(created, Answer::Done(_)) {
            return false;
        }
        for _ in 0..TRIES {
            self.rest(random, 0.0..1.0).await;
            match insist(Op::Start).await {
                // Under a halt, or too early for a replica that just came.
                Answer::Refused(why) if why != "WRONG_STATE" => {}
                Answer::Refused(_) | Answer::Done(_) => break,
                Answer::NothingStored(_) | Answer::Unknown(_) => {}
            }
        }
        for _ in 0..random.random_range(0..6) {
            self.rest(random, 0.3..4.0).await;
            let op = match random.random_range(0..4) {
                0 => Op::Pause,
                1 | 2 => Op::Resume,
                _ => Op::Get,
            };
            insist(op).await;
        }
        self.rest(random, 1.0..8.0).await;
        match random.random_range(0..10) {
            _ if self.calm.get() => {}
            0..=4 => drop(insist(Op::Abort).await),
            5..=6 => drop(insist(Op::Stop).await),
            _ => drop(insist(Op::Resume).await),
        }
        self.is_over(client, draft).await
    }

    async fn is_over(&self, client: &Client, draft: &Draft) -> bool {
        let until = Instant::now() + OVER_WITHIN;
        while !self.calm.get() && Instant::now() < until {
            let answer = client.attempt(client.any(), &draft.name, &Op::Get, "").await;
            if let Answer::Done(Some(shown)) = answer
                && is_over(&shown)
            {
                return true;
            }
            sleep(Duration::from_millis(500)).await;
        }
        false
    }

    async fn meddle(&self, client: Client, mut random: StdRng) {
        while !self.calm.get() {
            self.rest(&mut random, 0.2..2.0).await;
            let name = {
                let sessions = self.sessions.borrow();
                let back = random.random_range(1..=RECENT);
                let Some(draft) = sessions.len().checked_sub(back).map(|at| &sessions[at]) else {
                    continue;
                };
                draft.name.clone()
            };
            let op = match random.random_range(0..20) {
                0 => Op::Abort,
                1 => Op::Stop,
                2..=5 => Op::Pause,
                6..=11 => Op::Resume,
                12 => Op::Start,
                _ => Op::Get,
            };
            let request = self.request();
            if random.random_bool(0.3) {
                let (one, other) = (client.any(), client.any());
                let once = client.attempt(one, &name, &op, &request);
                join(once, client.attempt(other, &name, &op, &request)).await;
            } else {
                client.insist(&name, &op, &request, 2).await;
            }
        }
    }

    async fn halts(&self, client: Client, mut random: StdRng) {
        while !self.calm.get() {
            self.rest(&mut random, 8.0..25.0).await;
            if self.calm.get() {
                return;
            }
            let scope = match random.random_range(0..10) {
                0 => "_fleet",
                other => TENANTS[other % TENANTS.len()],
            };
            let lever = format!("lever/{scope}");
            client.insist(&lever, &Op::Engage, &self.request(), TRIES).await;
            self.rest(&mut random, 1.0..4.0).await;
            client.insist(&lever, &Op::Release, &self.request(), TRIES).await;
        }
    }

    /// Releases every halt, as long as it takes.
    pub(crate) async fn release_all(&self, tries: usize) {
        for scope in TENANTS.into_iter().chain(["_fleet"]) {
            let lever = format!("lever/{scope}");
            self.inspector().insist(&lever, &Op::Release, &self.request(), tries).await;
        }
    }

    /// Gives a session a command, as long as it takes.
    pub(crate) async fn order(&self, session: &str, op: Op, tries: usize) -> Answer {
        self.inspector().insist(session, &op, &self.request(), tries).await
    }
}

/// Whether nothing can follow: it ended, and its stop is proven where it had one.
pub(crate) fn is_over(shown: &Shown) -> bool {
    match shown.state.as_str() {
        "COMPLETED" | "EXHAUSTED" => true,
        "ABORTED" => shown.proven,
        _ => false,
    }
}
