//! Clients: what they want, and what they were told.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use squall::engine::{Order, OrderError, OrderKind, SessionKeyOrScope};
use squall_domain::event::CommandKind;
use squall_domain::lever::Scope;
use squall_domain::rejection::Rejection;
use squall_domain::session::{ClientCommand, Phase};
use squall_proto::vocabulary::id::{RequestId, SessionKey};

use super::{Event, ForReplica, Stage, World};
use crate::clock::Moment;
use crate::names;
use crate::scenario::Command;

/// A client gives up waiting for an answer after this time, and asks again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time until it asks again.
const AGAIN: Duration = Duration::from_millis(700);
/// Tries of one call.
const TRIES_MAX: u32 = 30;

/// One call of a client, with all its tries.
pub(crate) struct Call {
    order: Rc<Order>,
    via: usize,
    tries: u32,
    done: bool,
    /// What comes next once it is done.
    then: Option<usize>,
    /// Whether it waits until it can be done, as a start does for shims.
    waits: bool,
}

impl World {
    pub(crate) fn plan_clients(&mut self) {
        let scenario = Rc::clone(&self.scenario);
        for (number, planned) in scenario.sessions.iter().enumerate() {
            let key = names::session(number, planned.tenant);
            // A file that somebody changed by hand is told of, and nothing else.
            let spec = match planned.draft.clone().validate() {
                Ok(spec) => Arc::new(spec),
                Err(why) => {
                    return self.book.violated("SCENARIO", format!("session {number}: {why}"));
                }
            };
            let digest = *blake3::hash(format!("{spec:?}").as_bytes()).as_bytes();
            let create = OrderKind::Create { key: key.clone(), spec, digest };
            let start = OrderKind::Session { key, command: ClientCommand::Start };
            let start = self.plan_call(start, number, true);
            let create = self.plan_call(create, number, true);
            self.calls[create].then = Some(start);
            self.queue.add(Moment::at_ms(planned.at_ms), Event::Client(create));
        }
    }

    fn plan_call(&mut self, kind: OrderKind, via: usize, waits: bool) -> usize {
        let number = self.calls.len();
        let request = RequestId::new(format!("call-{number}")).expect("a word and a number");
        let order = Order { request, actor: "client".parse().expect("a word"), kind };
        let via = via % self.replicas.len();
        self.calls.push(Call {
            order: Rc::new(order),
            via,
            tries: 0,
            done: false,
            then: None,
            waits,
        });
        number
    }

    pub(crate) fn session_number(&self, key: &SessionKey) -> Option<usize> {
        let sessions = self.scenario.sessions.iter().enumerate();
        sessions
            .into_iter()
            .position(|(number, planned)| names::session(number, planned.tenant) == *key)
    }

    pub(crate) fn give(&mut self, session: usize, command: Command, via: usize) {
        let Some(planned) = self.scenario.sessions.get(session) else { return };
        let key = names::session(session, planned.tenant);
        let command = match command {
            Command::Pause => ClientCommand::Pause,
            Command::Resume => ClientCommand::Resume,
            Command::Stop => ClientCommand::Stop,
            Command::Abort => ClientCommand::Abort { reason: "enough".to_owned() },
        };
        let call = self.plan_call(OrderKind::Session { key, command }, via, false);
        self.client_tries(call);
    }

    pub(crate) fn pull(&mut self, of: Option<usize>, engage: bool, via: usize) {
        let scope = of.map_or(Scope::Fleet, |of| Scope::Tenant(names::tenant(of)));
        let reason = "smoke".to_owned();
        let kind = match engage {
            true => OrderKind::Engage { scope, reason },
            false => OrderKind::Release { scope, reason },
        };
        let call = self.plan_call(kind, via, false);
        self.client_tries(call);
    }

    pub(crate) fn client_tries(&mut self, number: usize) {
        let call = &mut self.calls[number];
        if call.done || call.tries >= TRIES_MAX {
            return;
        }
        call.tries += 1;
        let (tries, order, via) = (call.tries, Rc::clone(&call.order), call.via);
        self.queue.add(self.now.plus(PATIENCE), Event::ClientWaited(number, tries));
        let replica = &self.replicas[via];
        if replica.engine.is_some() {
            let (life, micros) = (replica.life, self.dice.within(50, 1_500));
            let what = ForReplica::Order(number, tries, order);
            self.after(Duration::from_micros(micros), Event::Replica(via, life, what));
        } else {
            self.client_waited(number, tries);
        }
    }

    /// No answer: another replica is asked, under the same request id.
    pub(crate) fn client_waited(&mut self, number: usize, tries: u32) {
        let replicas = self.replicas.len();
        let call = &mut self.calls[number];
        if !call.done && call.tries == tries {
            call.via = (call.via + 1) % replicas;
            self.after(AGAIN, Event::Client(number));
        }
    }

    pub(crate) fn client_answered(
        &mut self,
        number: usize,
        tries: u32,
        result: Result<SessionKeyOrScope, OrderError>,
    ) {
        let name = done_name(&self.calls[number].order.kind);
        self.trace.line(self.now, format_args!("client {number} {name} {result:?}"));
        match result {
            Ok(_) => {
                self.must_be_in_the_log(number);
                self.coverage.count(done_name(&self.calls[number].order.kind));
                let call = &mut self.calls[number];
                if !std::mem::replace(&mut call.done, true)
                    && let Some(then) = call.then
                {
                    self.after(AGAIN, Event::Client(then));
                }
            }
            Err(OrderError::Rejected(why)) => {
                self.coverage.count("commands rejected");
                let can_come = matches!(why, Rejection::Unmet(_) | Rejection::NoSession(_));
                let call = &mut self.calls[number];
                if call.waits && can_come && self.stage == Stage::Trouble {
                    call.tries = call.tries.min(2);
                    return self.client_waited(number, tries.min(2));
                }
                call.done = true;
            }
            Err(error) => {
                self.coverage.count(match error {
                    OrderError::Pushed(_) => "stops pushed and not durable yet",
                    OrderError::TimedOut(_) => "commands without an answer in time",
                    OrderError::Rejected(_)
                    | OrderError::LogFull(_)
                    | OrderError::LogDamaged(_)
                    | OrderError::Unavailable(_) => "commands not taken",
                });
                self.client_waited(number, tries);
            }
        }
    }

    /// What was acknowledged is durable: the log holds the command, or what it wanted (ACK).
    fn must_be_in_the_log(&mut self, number: usize) {
        let order = Rc::clone(&self.calls[number].order);
        let world = self.book.reference();
        let session_did = |key: &SessionKey, kind: CommandKind| {
            world.session(key).is_some_and(|session| {
                let stopped = matches!(session.phase, Phase::Aborted | Phase::LogDamaged);
                session.commands.done(&order.request, kind) == Ok(true)
                    || (kind == CommandKind::Abort && stopped)
            })
        };
        let lever_did = |scope: &Scope, kind: CommandKind| {
            world
                .lever(scope)
                .is_some_and(|lever| lever.commands.done(&order.request, kind) == Ok(true))
        };
        let is_there = match &order.kind {
            OrderKind::Create { key, .. } => session_did(key, CommandKind::Create),
            OrderKind::Session { key, command } => session_did(key, command.kind()),
            OrderKind::Engage { scope, .. } => lever_did(scope, CommandKind::Engage),
            OrderKind::Release { scope, .. } => lever_did(scope, CommandKind::Release),
        };
        if !is_there {
            let what = format!(
                "client {number} was told that it is done, and the log has no {:?}",
                order.kind
            );
            self.book.violated("ACK", what);
        }
    }
}

const fn done_name(kind: &OrderKind) -> &'static str {
    match kind {
        OrderKind::Create { .. } => "sessions created",
        OrderKind::Session { command, .. } => match command {
            ClientCommand::Start => "starts",
            ClientCommand::Pause => "pauses",
            ClientCommand::Resume => "resumes",
            ClientCommand::Stop => "graceful stops",
            ClientCommand::Abort { .. } => "aborts",
        },
        OrderKind::Engage { .. } => "halts",
        OrderKind::Release { .. } => "releases",
    }
}
