//! Doing what was drawn.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::jetstream;
use rustix::process::Signal;
use squall_drill_checker::files;
use tokio::time::{Instant, sleep};

use super::{Direction, Fault, Kind, Whom};
use crate::disk;
use crate::house::{AGENTS, House, REPLICAS};
use crate::network::{Disturbance, Node, Trouble};
use crate::now::now_ns;
use crate::process::Process;
use crate::progress::say;
use crate::traffic::CLIENTS;

/// Longest graceful end; then it is killed, as any orchestrator does.
const END_WITHIN: Duration = Duration::from_secs(10);
/// The stream that holds the log.
const LOG: &str = "SQUALL_LOG";
/// The stream behind the bucket of snapshots.
const SNAPSHOTS: &str = "KV_SQUALL_SNAPSHOTS";
/// A server that asks for a leader's step has to answer within this time.
const ADMIN_WITHIN: Duration = Duration::from_secs(4);

/// Performs faults and writes them down.
#[derive(Clone)]
pub(crate) struct Performance {
    house: Rc<House>,
    stores: PathBuf,
    /// Processes that a fault has in hand: no other one takes them.
    taken: Rc<RefCell<BTreeSet<Node>>>,
    file: Rc<RefCell<File>>,
    count: u32,
}

impl Performance {
    /// Writes to a new file.
    ///
    /// # Errors
    /// When it can't be made.
    pub(crate) fn new(
        house: Rc<House>,
        stores: PathBuf,
        file: &std::path::Path,
        count: u32,
    ) -> Result<Self> {
        let file = Rc::new(RefCell::new(File::create_new(file)?));
        Ok(Self { house, stores, taken: Rc::default(), file, count })
    }

    /// Performs a fault to its end.
    ///
    /// # Errors
    /// When the house can't be touched, which is the drill's failure.
    pub(crate) async fn perform(&self, fault: Fault) -> Result<()> {
        let took = self.take(&fault);
        let name = fault.name();
        let targets: Vec<String> = took.iter().map(ToString::to_string).collect();
        say(&format!(
            "fault {:>3} of {}: {name} {} {:?} for {:.1} s",
            fault.number,
            self.count,
            targets.join(" "),
            fault.direction,
            fault.lasts.as_secs_f64()
        ));
        let (from_ns, to_ns) = match fault.kind {
            Kind::Kill => self.down(&took, &fault, Process::kill).await?,
            Kind::Terminate => self.down(&took, &fault, Process::terminate).await?,
            Kind::Freeze => self.freeze(&took, &fault).await?,
            Kind::Partition => self.trouble(&took, &fault, Disturbance::Frozen).await,
            Kind::Cut => self.trouble(&took, &fault, Disturbance::Cut).await,
            Kind::Delay => {
                let time = Duration::from_millis(u64::from(5 + fault.dice % 400));
                self.trouble(&took, &fault, Disturbance::Delayed(time)).await
            }
            Kind::Loss => {
                let share = 0.02 + f64::from(fault.dice % 1000) / 4000.0;
                self.trouble(&took, &fault, Disturbance::Lossy(share)).await
            }
            Kind::Throttle => {
                let rate = 2_000 + fault.dice % 60_000;
                self.trouble(&took, &fault, Disturbance::Throttled(rate)).await
            }
            Kind::FullDisk => self.full_disk(&took, &fault).await?,
            Kind::ClockStep => self.clock_step(&took, &fault).await?,
            Kind::Roll => self.roll(&took).await?,
            Kind::LoseSnapshot => self.lose_snapshot(&took, &fault).await?,
            Kind::LoseLeader => self.lose_leader(&fault).await?,
        };
        self.taken.borrow_mut().retain(|node| !took.contains(node));
        let fault = files::Fault { n: fault.number, kind: name, targets, from_ns, to_ns };
        let mut line = serde_json::to_vec(&fault)?;
        line.push(b'\n');
        Ok(self.file.borrow_mut().write_all(&line)?)
    }

    /// The nodes of a fault, others of their kind in the place of those that another fault has in hand. Links belong to nobody.
    fn take(&self, fault: &Fault) -> Vec<Node> {
        let is_free = match fault.kind {
            Kind::Partition | Kind::Cut | Kind::Delay | Kind::Loss | Kind::Throttle => {
                return fault.nodes.clone();
            }
            Kind::LoseLeader => return Vec::new(),
            Kind::Kill
            | Kind::Freeze
            | Kind::Terminate
            | Kind::FullDisk
            | Kind::ClockStep
            | Kind::Roll
            | Kind::LoseSnapshot => |taken: &BTreeSet<Node>, node: &Node| !taken.contains(node),
        };
        let mut taken = self.taken.borrow_mut();
        let wanted = if fault.kind == Kind::Roll { all(fault.whom) } else { fault.nodes.clone() };
        let others = all(fault.whom);
        let mut took = Vec::new();
        for node in wanted {
            let free = std::iter::once(node).chain(others.iter().copied());
            if let Some(node) = free.into_iter().find(|node| is_free(&taken, node)) {
                taken.insert(node);
                took.push(node);
            }
        }
        took
    }

    async fn down(
        &self,
        nodes: &[Node],
        fault: &Fault,
        how: impl Fn(&mut Process),
    ) -> Result<(u64, u64)> {
        for node in nodes {
            self.house.with(*node, &how)?;
        }
        let from_ns = now_ns();
        sleep(fault.lasts).await;
        for node in nodes {
            self.gone(*node).await?;
        }
        let to_ns = now_ns();
        nodes.iter().try_for_each(|node| self.house.with(*node, Process::revive)?)?;
        Ok((from_ns, to_ns))
    }

    /// Waits until a process has ended that was asked to.
    async fn gone(&self, node: Node) -> Result<()> {
        let until = Instant::now() + END_WITHIN;
        while self.house.with(node, Process::is_running)? {
            if Instant::now() > until {
                self.house.with(node, Process::kill)?;
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn freeze(&self, nodes: &[Node], fault: &Fault) -> Result<(u64, u64)> {
        let from_ns = now_ns();
        for node in nodes {
            self.house.with(*node, |process| process.signal(Signal::STOP))?;
        }
        sleep(fault.lasts).await;
        for node in nodes {
            self.house.with(*node, |process| process.signal(Signal::CONT))?;
        }
        Ok((from_ns, now_ns()))
    }

    async fn trouble(&self, nodes: &[Node], fault: &Fault, what: Disturbance) -> (u64, u64) {
        let others = match fault.whom {
            // One of two servers that part, or one that is alone.
            Whom::Servers if fault.dice.is_multiple_of(2) => {
                vec![Node::Nats((index(nodes) + 1) % REPLICAS)]
            }
            Whom::Servers => {
                let mut all = all(Whom::Servers);
                all.extend((0..REPLICAS).map(Node::Coordinator));
                all.retain(|node| !nodes.contains(node));
                all
            }
            Whom::Coordinators | Whom::Agents => all(Whom::Servers),
            Whom::Clients => all(Whom::Coordinators),
        };
        let trouble = |from: &[Node], to: &[Node]| {
            let (from, to) = (from.to_vec(), to.to_vec());
            self.house.network.begin(Trouble { fault: fault.number, from, to, what });
        };
        match fault.direction {
            Direction::Out => trouble(nodes, &others),
            Direction::In => trouble(&others, nodes),
            Direction::Both => {
                trouble(nodes, &others);
                trouble(&others, nodes);
            }
        }
        let from_ns = now_ns();
        sleep(fault.lasts).await;
        let to_ns = now_ns();
        self.house.network.end(fault.number);
        (from_ns, to_ns)
    }

    async fn full_disk(&self, nodes: &[Node], fault: &Fault) -> Result<(u64, u64)> {
        let from_ns = now_ns();
        for node in nodes {
            disk::fill(&self.stores, index(&[*node]))?;
        }
        sleep(fault.lasts).await;
        let to_ns = now_ns();
        for node in nodes {
            disk::empty(&self.stores, index(&[*node]))?;
            // A server that met a full disk stores nothing any more: whoever makes room starts it again.
            self.house.with(*node, Process::terminate)?;
            self.gone(*node).await?;
            self.house.with(*node, Process::revive)??;
        }
        Ok((from_ns, to_ns))
    }

    async fn clock_step(&self, nodes: &[Node], fault: &Fault) -> Result<(u64, u64)> {
        // From minutes in the past to minutes in the future.
        let off_ms = i64::from(fault.dice % 400_000) - 200_000;
        let from_ns = now_ns();
        for node in nodes {
            self.house.clocks.step(&node.to_string(), off_ms)?;
        }
        sleep(fault.lasts).await;
        for node in nodes {
            self.house.clocks.step(&node.to_string(), 0)?;
        }
        Ok((from_ns, now_ns()))
    }

    async fn roll(&self, nodes: &[Node]) -> Result<(u64, u64)> {
        let from_ns = now_ns();
        for node in nodes {
            self.house.with(*node, Process::terminate)?;
            self.gone(*node).await?;
            self.house.with(*node, Process::revive)??;
            sleep(Duration::from_secs(2)).await;
        }
        Ok((from_ns, now_ns()))
    }

    async fn lose_snapshot(&self, nodes: &[Node], fault: &Fault) -> Result<(u64, u64)> {
        let purge = async {
            let context = jetstream::new(self.house.client().await?);
            context.get_stream(SNAPSHOTS).await?.purge().await?;
            anyhow::Ok(())
        };
        // Without a leader there is nobody to lose it: the kill alone is left of the fault.
        if !matches!(tokio::time::timeout(ADMIN_WITHIN, purge).await, Ok(Ok(()))) {
            say(&format!("fault {:>3}: the servers purge nothing now", fault.number));
        }
        self.down(nodes, fault, Process::kill).await
    }

    async fn lose_leader(&self, fault: &Fault) -> Result<(u64, u64)> {
        let from_ns = now_ns();
        let step = async {
            let client = self.house.client().await?;
            let stream = jetstream::new(client.clone()).get_stream(LOG).await?;
            let cluster = stream.cached_info().cluster.clone().context("no cluster")?;
            let leader = cluster.leader.context("no leader")?;
            if fault.dice.is_multiple_of(2) {
                let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.{LOG}");
                client.request(subject, "".into()).await?;
                return Ok(None);
            }
            anyhow::Ok(leader.trim_start_matches('n').parse::<usize>().ok())
        };
        let leader = match tokio::time::timeout(ADMIN_WITHIN, step).await {
            Ok(Ok(leader)) => leader,
            Ok(Err(_)) | Err(_) => {
                say(&format!("fault {:>3}: there is no leader to lose now", fault.number));
                None
            }
        };
        let leader = leader.map(Node::Nats);
        if let Some(leader) = leader.filter(|leader| self.taken.borrow_mut().insert(*leader)) {
            let done = self.down(&[leader], fault, Process::kill).await;
            self.taken.borrow_mut().remove(&leader);
            return done;
        }
        Ok((from_ns, now_ns()))
    }
}

fn all(whom: Whom) -> Vec<Node> {
    match whom {
        Whom::Servers => (0..REPLICAS).map(Node::Nats).collect(),
        Whom::Coordinators => (0..REPLICAS).map(Node::Coordinator).collect(),
        Whom::Agents => (0..AGENTS).map(Node::Agent).collect(),
        Whom::Clients => (0..CLIENTS).map(Node::Client).collect(),
    }
}

fn index(nodes: &[Node]) -> usize {
    match nodes {
        [
            Node::Nats(number)
            | Node::Coordinator(number)
            | Node::Agent(number)
            | Node::Client(number),
            ..,
        ] => *number,
        [] => 0,
    }
}
