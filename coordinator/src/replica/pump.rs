//! The loop: every source in one `select!`, every output carried out right after.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use squall_proto::subject::{Partition, Subject, TenantSubject};
use squall_proto::vocabulary::id::AppendId;
use squall_proto::vocabulary::message::Request;
use squall_proto::vocabulary::time::BootNanos;
use squall_proto::wire;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::handle::{Call, Handle, Inbox};
use super::snapshot::{self, Cadence};
use super::translation;
use crate::engine::{
    Answer, AppendFailure, Engine, Identity, Input, Now, OrderError, Output, SessionKeyOrScope,
    Token, Write,
};
use crate::fleet::bus::{Bus, Received, ReplyTo};
use crate::journal::{Damage, Journal, TailEvent};
use crate::seldom::Seldom;

/// How often time passes for the engine: its shortest interval is 200 ms.
const TICK: Duration = Duration::from_millis(50);

/// What a replica runs on.
pub struct Settings {
    /// What it is.
    pub identity: Identity,
    /// Its log.
    pub journal: Arc<dyn Journal>,
    /// Its connections.
    pub bus: Bus,
    /// What comes in on them.
    pub received: mpsc::Receiver<Received>,
    /// Its clocks.
    pub clock: Arc<dyn Clock>,
    /// When it keeps a snapshot.
    pub snapshots: Cadence,
}

/// Starts a replica on the current tokio runtime. It runs until `shutdown`, then the join handle ends.
#[must_use]
pub fn run(settings: Settings, shutdown: CancellationToken) -> (Handle, JoinHandle<()>) {
    let (handle, inbox) = Handle::new();
    let task = tokio::spawn(async move { Pump::start(settings, inbox).await.run(shutdown).await });
    (handle, task)
}

type Ordered = oneshot::Sender<Result<SessionKeyOrScope, OrderError>>;
type Asked = oneshot::Sender<Answer>;

struct Pump {
    engine: Engine,
    journal: Arc<dyn Journal>,
    bus: Bus,
    clock: Arc<dyn Clock>,
    inbox: Inbox,
    received: mpsc::Receiver<Received>,
    log: BoxStream<'static, TailEvent>,
    evidence: Option<BoxStream<'static, TailEvent>>,
    appended: (mpsc::UnboundedSender<Landed>, mpsc::UnboundedReceiver<Landed>),
    next_token: u64,
    replies: HashMap<Token, ReplyTo>,
    orders: HashMap<Token, Ordered>,
    queries: HashMap<Token, Asked>,
    /// Evidence that is none.
    garbage: Seldom,
    snapshots: Cadence,
    snapshot_at: (u64, BootNanos),
    /// The snapshot that is being written: one at a time, or a later one might lose against an earlier one.
    saving: Option<JoinHandle<()>>,
}

type Landed = (AppendId, Result<u64, AppendFailure>);

/// One thing that happened, whatever its source.
enum Happened {
    Log(TailEvent),
    LogEnded,
    Evidence(Option<TailEvent>),
    Landed(Landed),
    Received(Received),
    Called(Call),
    Ticked,
    Stop,
}

impl Pump {
    async fn start(settings: Settings, inbox: Inbox) -> Self {
        let Settings { identity, journal, bus, received, clock, snapshots } = settings;
        let (world, archive) = snapshot::restore(&*journal).await;
        let log = journal.tail(world.applied);
        let snapshot_at = (world.applied, clock.now().boot);
        Self {
            engine: Engine::new(identity, world, archive),
            log,
            evidence: None,
            journal,
            bus,
            clock,
            inbox,
            received,
            // One entry for each append in flight, of which each subject has one and barriers another: bounded by them.
            appended: mpsc::unbounded_channel(),
            next_token: 0,
            replies: HashMap::new(),
            orders: HashMap::new(),
            queries: HashMap::new(),
            garbage: Seldom::default(),
            snapshots,
            snapshot_at,
            saving: None,
        }
    }

    async fn run(mut self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let happened = tokio::select! {
                biased;
                () = shutdown.cancelled() => Happened::Stop,
                _ = ticks.tick() => Happened::Ticked,
                Some(landed) = self.appended.1.recv() => Happened::Landed(landed),
                event = self.log.next() => event.map_or(Happened::LogEnded, Happened::Log),
                Some(call) = self.inbox.calls.recv() => Happened::Called(call),
                Some(received) = self.received.recv() => Happened::Received(received),
                event = next(&mut self.evidence) => Happened::Evidence(event),
            };
            if matches!(happened, Happened::Stop) {
                return;
            }
            let Some(input) = self.input(happened) else { continue };
            let now = self.clock.now();
            self.engine.handle(now, input);
            self.perform().await;
            self.keep_snapshot(now);
        }
    }

    fn input(&mut self, happened: Happened) -> Option<Input> {
        match happened {
            Happened::Stop => None,
            Happened::Ticked => Some(Input::Tick),
            Happened::Landed((id, result)) => Some(Input::Appended { id, result }),
            Happened::Log(event) => self.logged(event),
            Happened::LogEnded => {
                self.log = futures::stream::pending().boxed();
                Some(Input::LogDamaged("the log can't be read any more".to_owned()))
            }
            Happened::Evidence(event) => self.evidence_input(event?),
            Happened::Received(received) => self.received_input(received),
            Happened::Called(Call::Order(order, sender)) => {
                let token = self.token();
                self.orders.insert(token, sender);
                Some(Input::Order { token, order })
            }
            Happened::Called(Call::Query(query, sender)) => {
                let token = self.token();
                self.queries.insert(token, sender);
                Some(Input::Query { token, query })
            }
        }
    }

    fn logged(&mut self, event: TailEvent) -> Option<Input> {
        match event {
            TailEvent::Entry(entry) => Some(translation::logged(&entry)),
            TailEvent::CaughtUp { .. } => {
                // Evidence is judged by the sessions that the log has, so the log comes first.
                if self.evidence.is_none() {
                    self.evidence =
                        Some(self.journal.evidence_tail(self.engine.archive().sequence));
                }
                Some(Input::CaughtUp)
            }
            // Only evidence is said to be so.
            TailEvent::Unreadable { .. } => None,
            TailEvent::Damaged { why } => self.damaged(&why),
        }
    }

    /// The tail has ended. Whoever answered nobody yet may begin anew behind what expired.
    fn damaged(&mut self, why: &Damage) -> Option<Input> {
        if matches!(why, Damage::Expired { .. }) && self.engine.start_over() {
            tracing::warn!(%why, "what was read so far is left aside; the log is read from its beginning");
            self.log = self.journal.tail(0);
            return None;
        }
        // It ends here, which is no other finding.
        self.log = futures::stream::pending().boxed();
        Some(Input::LogDamaged(why.to_string()))
    }

    fn evidence_input(&mut self, event: TailEvent) -> Option<Input> {
        match event {
            TailEvent::Entry(entry) => {
                let Subject::Tenant { tenant, subject: TenantSubject::Evidence { shim, .. } } =
                    entry.subject
                else {
                    return None;
                };
                match wire::decode_evidence(&entry.bytes) {
                    Ok(evidence) => Some(Input::Evidence {
                        sequence: entry.sequence,
                        tenant,
                        shim,
                        evidence: Box::new(evidence),
                    }),
                    Err(error) => {
                        let now = self.clock.now().boot.since(BootNanos::default());
                        if let Some(messages) = self.garbage.another(now) {
                            tracing::warn!(messages, %tenant, newest = %shim, %error, "dropped what is no evidence");
                        }
                        None
                    }
                }
            }
            TailEvent::CaughtUp { .. } => Some(Input::EvidenceReadable),
            TailEvent::Unreadable { why, silent } => {
                Some(Input::EvidenceUnreadable { why, silent })
            }
            // No journal ends evidence so; if one does, it is read no more.
            TailEvent::Damaged { why } => {
                Some(Input::EvidenceUnreadable { why: why.to_string(), silent: Duration::ZERO })
            }
        }
    }

    fn received_input(&mut self, received: Received) -> Option<Input> {
        match received {
            Received::Alive(replica) => Some(Input::Alive(replica)),
            Received::Request { tenant, shim, request, reply: Some(reply) } => {
                let token = self.token();
                self.replies.insert(token, reply);
                Some(Input::Request { token, tenant, shim, request })
            }
            Received::Request { tenant, shim, request, reply: None } => match *request {
                Request::Hello(hello) => {
                    Some(Input::Overheard { tenant, shim, hello: Box::new(hello) })
                }
                Request::Sync(_)
                | Request::Ask(_)
                | Request::Renew(_)
                | Request::Close(_)
                | Request::Inert(_) => None,
            },
        }
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    async fn perform(&mut self) {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Append(id, write) => self.append(id, &write),
                Output::Reply(token, reply) => {
                    if let Some(to) = self.replies.remove(&token) {
                        self.bus.reply(to, &reply);
                    }
                }
                // A client that is gone doesn't wait for its answer.
                Output::Ordered(token, result) => {
                    self.orders.remove(&token).map(|sender| sender.send(result).ok());
                }
                Output::Answered(token, answer) => {
                    self.queries.remove(&token).map(|sender| sender.send(*answer).ok());
                }
                Output::Command { tenant, shim, lane, command } => {
                    self.bus.command(tenant, shim, lane, &command)
                }
                Output::Alive => self.bus.alive(),
                Output::Own(partitions) => {
                    if let Err(error) = self.bus.own(&partitions).await {
                        tracing::error!(%error, "partitions without an ear: their shims get no answers");
                    }
                }
                Output::Changed(keys) => {
                    // Nobody watches: nothing to do.
                    let _watchers = self.inbox.changes.send(keys.into());
                }
            }
        }
    }

    fn append(&self, id: AppendId, write: &Write) {
        let append = match translation::append(self.engine.replica(), id, write) {
            Ok(append) => append,
            Err(error) => {
                let failure = AppendFailure::Refused(error.to_string());
                // The receiver is ours and lives as long as we do.
                let _sent = self.appended.0.send((id, Err(failure)));
                return;
            }
        };
        let (journal, landed) = (Arc::clone(&self.journal), self.appended.0.clone());
        tokio::spawn(async move {
            let result = translation::appended(journal.append(append).await);
            // Nobody listens any more when the replica has stopped.
            let _sent = landed.send((id, result));
        });
    }

    /// The owner of the first partition keeps a snapshot for those that start later.
    fn keep_snapshot(&mut self, now: Now) {
        let (sequence, at) = self.snapshot_at;
        let applied = self.engine.world().applied;
        // A replica that found damage holds a verdict of its own, which is no fold of the log.
        let due = self.engine.is_live()
            && applied >= sequence + self.snapshots.records
            && now.boot.since(at) >= self.snapshots.time
            && self.saving.as_ref().is_none_or(JoinHandle::is_finished);
        let first = Partition::all().next();
        if !due || !first.is_some_and(|partition| self.engine.owns_partition(partition)) {
            return;
        }
        self.snapshot_at = (applied, now.boot);
        let snapshot = match snapshot::of(self.engine.world(), self.engine.archive()) {
            Ok(snapshot) => snapshot,
            Err(error) => return tracing::error!(%error, "a snapshot can't be written"),
        };
        let journal = Arc::clone(&self.journal);
        self.saving = Some(tokio::spawn(async move {
            if let Err(error) = journal.save_snapshot(snapshot).await {
                tracing::warn!(%error, "a snapshot was not kept; the next start reads more of the log");
            }
        }));
    }
}

/// The next event of a stream that may not be there yet.
async fn next(stream: &mut Option<BoxStream<'static, TailEvent>>) -> Option<TailEvent> {
    match stream {
        Some(stream) => match stream.next().await {
            Some(event) => Some(event),
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
