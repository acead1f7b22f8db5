//! What clients want done and want to know.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use squall_domain::event::{CommandKind, CommandRef, Event, Hash, LeverEvent, Recorded};
use squall_domain::lever::{Lever, Scope};
use squall_domain::rejection::Rejection;
use squall_domain::session::{ClientCommand, Outlook, Phase, Session};
use squall_proto::vocabulary::id::{Actor, RequestId, SessionKey, TenantId};
use squall_proto::vocabulary::plan::AbortEpoch;
use squall_proto::vocabulary::session::SessionSpec;

use super::desk::{Job, Outcome, Place, Work, by};
use super::view::{FleetView, HaltView, SessionView};
use super::{Engine, Now, Output, SessionKeyOrScope, Token, Unread};

/// Most sessions in the log's window of 30 days: what a replica can hold in memory and list.
const SESSIONS_MAX: usize = 100_000;

/// Something that a client wants done, once.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Makes it idempotent.
    pub request: RequestId,
    /// Who wants it.
    pub actor: Actor,
    /// What.
    pub kind: OrderKind,
}

/// What a client wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderKind {
    /// A new session, as a draft.
    Create {
        /// Where.
        key: SessionKey,
        /// What it does.
        spec: Arc<SessionSpec>,
        /// Hash of the whole request: a repetition has the same.
        digest: Hash,
    },
    /// A command for a session.
    Session {
        /// Which.
        key: SessionKey,
        /// What.
        command: ClientCommand,
    },
    /// Engages a lever.
    Engage {
        /// Whose.
        scope: Scope,
        /// Why.
        reason: String,
    },
    /// Releases a lever.
    Release {
        /// Whose.
        scope: Scope,
        /// Why.
        reason: String,
    },
}

/// Why an order was not done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OrderError {
    /// It can't be done.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The log has no room. Nothing was stored.
    #[error("the log is full, nothing was stored: {0}")]
    LogFull(String),
    /// The whole log can't be trusted. Nothing will be stored any more.
    #[error("the log is damaged, every session is stopped and nothing can be stored: {0}")]
    LogDamaged(String),
    /// Not now. Nothing was stored.
    #[error("not available now: {0}")]
    Unavailable(String),
    /// No answer in time: it may or may not be done. The same request id tells.
    #[error(
        "no answer in time ({0}); repeat the command with the same request id to learn whether it was done"
    )]
    TimedOut(String),
    /// No answer in time to a stop. Shims were told, and it waits on to be recorded.
    #[error(
        "pushed to the shims in reach, not durable yet ({0}); it is recorded as soon as the log answers"
    )]
    Pushed(String),
}

/// Something that a client wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// One session.
    Session(SessionKey),
    /// The newest sessions of a log tenant, or of all, newest first.
    Sessions {
        /// Only this log tenant.
        tenant: Option<TenantId>,
        /// Only those in one of these phases; in any, if none is named.
        phases: Vec<Phase>,
        /// Only those that were created before this sequence.
        before: Option<u64>,
        /// At most so many.
        limit: usize,
    },
    /// Connected shims, of one tenant or of all, and what was lost of what they and the log said.
    Fleet(Option<TenantId>),
    /// Levers.
    Halts,
    /// Whether this replica answers, and why not.
    Health,
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// One session; `None` if there is none.
    Session(Option<Box<SessionView>>),
    /// Several sessions, as lines of a list.
    Sessions(Vec<SessionView>),
    /// Connected shims.
    Fleet(FleetView),
    /// Levers.
    Halts(Vec<HaltView>),
    /// `Ok` when requests are answered.
    Health(Result<(), String>),
}

impl Order {
    /// The desk that it goes to.
    pub(super) fn place(&self) -> Place {
        match &self.kind {
            OrderKind::Create { key, .. } | OrderKind::Session { key, .. } => {
                Place::Session(key.clone())
            }
            OrderKind::Engage { scope, .. } | OrderKind::Release { scope, .. } => {
                Place::Lever(scope.clone())
            }
        }
    }

    fn command_kind(&self) -> CommandKind {
        match &self.kind {
            OrderKind::Create { .. } => CommandKind::Create,
            OrderKind::Session { command, .. } => command.kind(),
            OrderKind::Engage { .. } => CommandKind::Engage,
            OrderKind::Release { .. } => CommandKind::Release,
        }
    }

    /// Whether it is pushed before it is durable, under the append id that it will have.
    pub(super) fn is_stop(&self) -> bool {
        match self.command_kind() {
            CommandKind::Abort | CommandKind::Engage => true,
            CommandKind::Create
            | CommandKind::Start
            | CommandKind::Pause
            | CommandKind::Resume
            | CommandKind::Stop
            | CommandKind::Release => false,
        }
    }

    /// Whether it makes something inject again that somebody stopped.
    fn lifts_a_stop(&self) -> bool {
        match self.command_kind() {
            CommandKind::Resume | CommandKind::Release => true,
            CommandKind::Create
            | CommandKind::Start
            | CommandKind::Pause
            | CommandKind::Stop
            | CommandKind::Abort
            | CommandKind::Engage => false,
        }
    }

    fn command_ref(&self) -> CommandRef {
        CommandRef {
            request: self.request.clone(),
            actor: self.actor.clone(),
            kind: self.command_kind(),
        }
    }

    pub(super) fn decide_lever(
        &self,
        scope: &Scope,
        lever: &Lever,
    ) -> Result<Vec<Recorded<LeverEvent>>, Rejection> {
        let (OrderKind::Engage { reason, .. } | OrderKind::Release { reason, .. }) = &self.kind
        else {
            return Ok(Vec::new());
        };
        let events = lever.decide(scope, &self.request, self.command_kind(), reason)?;
        Ok(events.into_iter().map(|event| by(self.command_ref(), event)).collect())
    }
}

impl Engine {
    pub(super) fn order(&mut self, now: Now, token: Token, order: Order) {
        if !self.is_live() {
            let refusal = match &self.log_damage {
                Some(why) => OrderError::LogDamaged(why.clone()),
                None => {
                    OrderError::Unavailable("the coordinator is still reading the log".to_owned())
                }
            };
            self.out(Output::Ordered(token, Err(refusal)));
            return;
        }
        let append = self.append_id();
        if order.is_stop() && self.is_acceptable(&order) {
            self.push_order(now, &order, append);
        }
        let place = order.place();
        self.enqueue(now, place, token, Work::Order(Box::new(order), append, None));
    }

    /// What would be rejected is not pushed. Acting early on what is accepted is always safe.
    fn is_acceptable(&mut self, order: &Order) -> bool {
        match &order.kind {
            OrderKind::Session { key, .. } => {
                let session = self.world.session(key).cloned();
                self.decide_session_order(order, session.as_ref())
                    .is_ok_and(|events| !events.is_empty())
            }
            OrderKind::Engage { scope, .. } => {
                let lever = self.world.lever(scope).cloned().unwrap_or_default();
                order.decide_lever(scope, &lever).is_ok_and(|events| !events.is_empty())
            }
            OrderKind::Create { .. } | OrderKind::Release { .. } => false,
        }
    }

    fn push_order(
        &mut self,
        now: Now,
        order: &Order,
        append: squall_proto::vocabulary::id::AppendId,
    ) {
        match &order.kind {
            OrderKind::Session { key, .. } => {
                self.pushed.insert(key.clone(), (append, now.wall));
                self.changed.insert(key.clone());
                self.push_abort(now, key, AbortEpoch::Pushed(append));
            }
            OrderKind::Engage { scope, .. } => {
                self.push_halt(now, scope, AbortEpoch::Pushed(append))
            }
            OrderKind::Create { .. } | OrderKind::Release { .. } => {}
        }
    }

    /// What the folded state says to an order: done, rejected, or to be appended. It may be rejected for what another replica
    /// has changed since: then only behind a barrier that is sent now.
    pub(super) fn look_up_order(&mut self, now: Now, place: &Place, mut job: Job) -> Outcome {
        let Work::Order(order, _, need) = &mut job.work else {
            return Outcome::Waits(Box::new(job));
        };
        let (decided, about) = match place {
            Place::Session(key) => {
                let session = self.world.session(key).cloned();
                let decided =
                    self.decide_session_order(order, session.as_ref()).map(|events| events.len());
                (decided, SessionKeyOrScope::Session(key.clone()))
            }
            Place::Lever(scope) => {
                let lever = self.world.lever(scope).cloned().unwrap_or_default();
                (
                    order.decide_lever(scope, &lever).map(|events| events.len()),
                    SessionKeyOrScope::Scope(scope.clone()),
                )
            }
        };
        match decided {
            Ok(0) => self.ordered(&job, Ok(about)),
            // What was to be lifted may have been said after it was asked for: whoever asks again knows.
            Ok(_) if need.is_some() && order.lifts_a_stop() => {
                let why = "it was stopped meanwhile; nothing was stored, ask again".to_owned();
                self.ordered(&job, Err(OrderError::Unavailable(why)));
            }
            Ok(_) => return Outcome::Waits(Box::new(job)),
            Err(rejection)
                if rejection.may_be_stale()
                    && !need.is_some_and(|need| self.barriers.met(need)) =>
            {
                need.get_or_insert_with(|| self.barriers.need());
                self.send_barrier(now);
                return Outcome::Waits(Box::new(job));
            }
            Err(rejection) => self.ordered(&job, Err(rejection.into())),
        }
        Outcome::Answered
    }

    pub(super) fn decide_order(
        &mut self,
        order: &Order,
        session: Option<&Session>,
    ) -> Vec<Recorded<Event>> {
        let events = self.decide_session_order(order, session).unwrap_or_default();
        events.into_iter().map(|event| by(order.command_ref(), event)).collect()
    }

    fn decide_session_order(
        &mut self,
        order: &Order,
        session: Option<&Session>,
    ) -> Result<Vec<Event>, Rejection> {
        match (&order.kind, session) {
            (OrderKind::Create { key, spec, digest }, None) => {
                self.create(order, key, spec, *digest)
            }
            (OrderKind::Create { key, digest, .. }, Some(session)) => {
                let repeated = session.commands.done(&order.request, CommandKind::Create)?
                    && session.digest == *digest;
                if repeated { Ok(Vec::new()) } else { Err(self.taken(order, key, session)) }
            }
            (OrderKind::Session { command, .. }, Some(session)) => {
                let outlook = self.outlook(session);
                session.decide(&order.request, command, &outlook)
            }
            (OrderKind::Session { key, .. }, None) => Err(Rejection::NoSession(key.clone())),
            (OrderKind::Engage { .. } | OrderKind::Release { .. }, _) => Ok(Vec::new()),
        }
    }

    /// The same request id with another body is the caller's mistake; another id means that the name is taken.
    fn taken(&self, order: &Order, key: &SessionKey, session: &Session) -> Rejection {
        match session.commands.done(&order.request, CommandKind::Create) {
            Ok(true) => Rejection::RequestReused {
                request: order.request.clone(),
                before: CommandKind::Create,
            },
            Ok(false) | Err(_) => Rejection::SessionExists(key.clone()),
        }
    }

    fn create(
        &mut self,
        order: &Order,
        key: &SessionKey,
        spec: &Arc<SessionSpec>,
        digest: Hash,
    ) -> Result<Vec<Event>, Rejection> {
        if self.world.session_count() >= SESSIONS_MAX {
            return Err(Rejection::TooManySessions(SESSIONS_MAX));
        }
        if self.world.has_strays(key) {
            return Err(Rejection::NameHasStrays(key.clone()));
        }
        // Two creates that run at the same time are ordered by nothing: only what is folded is found.
        if self.listing.made_by(&key.tenant, &order.request).is_some() {
            return Err(Rejection::RequestReused {
                request: order.request.clone(),
                before: CommandKind::Create,
            });
        }
        // The seed is drawn from the request, so that a repeated decision is the same one.
        let bytes = blake3::keyed_hash(&digest, order.request.as_str().as_bytes());
        let salt: u64 = self.identity.seed;
        let seed = u64::from_le_bytes(
            *bytes.as_bytes().first_chunk().expect("a BLAKE3 hash has 32 bytes"),
        ) ^ salt;
        Ok(vec![Session::created(Arc::clone(spec), seed, digest)])
    }

    fn outlook(&self, session: &Session) -> Outlook {
        let (shims, inapplicable) = self.fleet.applicability(session);
        let engaged = self.world.engaged_for(session).and_then(|(scope, lever)| {
            lever.engaged.as_ref().map(|engaged| (scope.to_string(), engaged.reason.clone()))
        });
        let log_is_synced = self.identity.log_is_synced.load(Ordering::Relaxed);
        Outlook { shims, inapplicable, log_is_synced, engaged }
    }

    pub(super) fn query(&mut self, now: Now, token: Token, query: Query) {
        let answer = match query {
            Query::Session(key) => {
                let session = self.world.session(&key).cloned();
                Answer::Session(session.map(|session| Box::new(self.view(now, session))))
            }
            Query::Sessions { tenant, phases, before, limit } => {
                let keys = self.newest(tenant.as_ref(), &phases, before, limit);
                let found = keys.into_iter().filter_map(|key| self.world.session(&key).cloned());
                let found: Vec<Session> = found.collect();
                Answer::Sessions(found.into_iter().map(|session| self.line(now, session)).collect())
            }
            Query::Fleet(tenant) => Answer::Fleet(self.fleet_view(now, tenant.as_ref())),
            Query::Halts => Answer::Halts(self.halts()),
            Query::Health => Answer::Health(self.health(now)),
        };
        self.out(Output::Answered(token, Box::new(answer)));
    }

    fn health(&self, now: Now) -> Result<(), String> {
        if let (None, Some(why)) = (&self.log_damage, self.barriers.takes_no_writes(now.boot)) {
            return Err(why);
        }
        match (&self.log_damage, self.live_since) {
            (Some(why), _) => Err(format!("the log is damaged: {why}")),
            (None, None) => Err("still reading the log".to_owned()),
            (None, Some(_)) => match &self.unread {
                Some(Unread { why, .. }) => Err(format!("evidence can't be read: {why}")),
                None => Ok(()),
            },
        }
    }
}
