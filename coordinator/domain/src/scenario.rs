//! Given events, when something is asked, then events: the small language in which this crate's tests are written.
//!
//! A scenario folds a real log: every answer that appends is folded before the next question.

mod questions;
mod values;

use std::sync::Arc;

use squall_proto::vocabulary::id::{SessionId, SessionKey, TenantId};
use squall_proto::vocabulary::message::RefusedWhy;
use squall_proto::vocabulary::session::SessionSpec;
use squall_proto::vocabulary::time::UnixMillis;

use crate::event::{CommandKind, Event, Hash, LeverEvent, Record, Recorded, Totals};
use crate::lever::Scope;
use crate::rejection::Rejection;
use crate::session::Session;
use crate::world::{Applied, Entry, World};

pub(crate) use self::questions::{Look, abort_command, ask, close, command, inert};
pub(crate) use self::values::*;

/// What can be asked of a session.
pub(crate) trait Question {
    fn put(&self, session: &Session) -> Answer;
}

/// What a session can say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// These are to be appended.
    Append(Vec<Event>),
    /// A grant that is there already.
    Granted {
        req_no: u64,
        permits: u32,
    },
    Refused(RefusedWhy),
    Rejected(Rejection),
    CatchUp,
    Acknowledged,
    /// A Close that can't be true.
    Denied,
    Wait,
    Noted,
}

impl<const N: usize> From<[Event; N]> for Answer {
    fn from(events: [Event; N]) -> Self {
        Self::Append(events.into())
    }
}

impl From<RefusedWhy> for Answer {
    fn from(why: RefusedWhy) -> Self {
        Self::Refused(why)
    }
}

impl From<Rejection> for Answer {
    fn from(why: Rejection) -> Self {
        Self::Rejected(why)
    }
}

/// A log with one session in it, and its fold.
#[derive(Clone)]
pub(crate) struct Scenario {
    pub(crate) world: World,
    pub(crate) key: SessionKey,
}

/// A question that was put.
pub(crate) struct Outcome {
    scenario: Scenario,
    answer: Answer,
}

/// A session with this specification, and what happened to it, one record each.
pub(crate) fn given(spec: Arc<SessionSpec>, events: impl IntoIterator<Item = Event>) -> Scenario {
    let tenant = if spec.target.tenants.is_empty() { tenant(ACME) } else { TenantId::fleet() };
    let key = SessionKey { tenant, session: SessionId::new("s").unwrap() };
    let mut scenario = Scenario { world: World::default(), key };
    scenario.fold([created(&spec)]);
    for event in events {
        scenario.fold([event]);
    }
    scenario
}

impl Scenario {
    pub(crate) fn session(&self) -> &Session {
        self.world.session(&self.key).expect("the session was created")
    }

    pub(crate) fn when(self, question: impl Question) -> Outcome {
        let answer = question.put(self.session());
        Outcome { scenario: self, answer }
    }

    /// More happened.
    pub(crate) fn and(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        for event in events {
            self.fold([event]);
        }
        self
    }

    /// Folds one record with these events, as a writer makes it that sees all before it.
    pub(crate) fn fold(&mut self, events: impl IntoIterator<Item = Event>) -> Applied {
        let events = events.into_iter().map(|event| Recorded { command: None, event }).collect();
        let record = self.record(events);
        self.fold_record(record)
    }

    /// Folds an event that a client's command caused.
    pub(crate) fn commanded(mut self, request: &str, kind: CommandKind, event: Event) -> Self {
        let record = self.record(vec![Recorded { command: Some(by(request, kind)), event }]);
        self.fold_record(record);
        self
    }

    /// The record that a writer makes of these events.
    pub(crate) fn record(&self, events: Vec<Recorded<Event>>) -> Record<Event> {
        let mut record = Record {
            append: append(self.world.applied + 1),
            at: self.at(),
            previous: self.world.session(&self.key).map_or(Hash::default(), |session| session.head),
            totals: Totals::default(),
            events,
        };
        if let Some(session) = self.world.session(&self.key) {
            let mut after = session.clone();
            after.preview(&record);
            record.totals = after.ledger.totals();
        }
        record
    }

    pub(crate) fn fold_record(&mut self, record: Record<Event>) -> Applied {
        let sequence = self.world.applied + 1;
        let time = self.at();
        self.world.apply(sequence, time, &Entry::Session(self.key.clone(), record), hash(sequence))
    }

    /// A second passes between two entries.
    fn at(&self) -> UnixMillis {
        UnixMillis(1000 * (self.world.applied + 1))
    }

    /// A record of nobody's is stored at `time`, a barrier.
    pub(crate) fn pass(&mut self, time: UnixMillis) -> Applied {
        let sequence = self.world.applied + 1;
        self.world.apply(sequence, time, &Entry::Other, hash(sequence))
    }

    pub(crate) fn engage(&mut self, scope: &Scope) -> Applied {
        self.pull(scope, LeverEvent::Engaged { reason: "fire".to_owned() })
    }

    pub(crate) fn release(&mut self, scope: &Scope) -> Applied {
        self.pull(scope, LeverEvent::Released { reason: "out".to_owned() })
    }

    pub(crate) fn pull(&mut self, scope: &Scope, event: LeverEvent) -> Applied {
        let sequence = self.world.applied + 1;
        let time = self.at();
        let record = Record {
            append: append(sequence),
            at: time,
            previous: self.world.lever(scope).map_or(Hash::default(), |lever| lever.head),
            totals: Totals::default(),
            events: vec![Recorded { command: None, event }],
        };
        self.world.apply(sequence, time, &Entry::Lever(scope.clone(), record), hash(sequence))
    }

    pub(crate) fn halted(mut self, scope: &Scope) -> Self {
        self.engage(scope);
        self
    }
}

impl Outcome {
    /// The answer is this; what is to be appended is folded.
    #[track_caller]
    pub(crate) fn then(self, expected: impl Into<Answer>) -> Scenario {
        let (damaged, scenario) =
            (self.scenario.session().damage.is_some(), self.answered(expected.into()));
        assert!(damaged || scenario.session().damage.is_none(), "a decision damaged the log");
        scenario
    }

    /// The answer is that the log is damaged.
    #[track_caller]
    pub(crate) fn then_damage(self, expected: impl Into<Answer>) -> Scenario {
        let scenario = self.answered(expected.into());
        assert!(scenario.session().damage.is_some(), "the log should be damaged");
        scenario
    }

    #[track_caller]
    fn answered(self, expected: Answer) -> Scenario {
        let Self { mut scenario, answer } = self;
        assert_eq!(answer, expected);
        if let Answer::Append(events) = answer
            && !events.is_empty()
        {
            scenario.fold(events);
        }
        scenario
    }

    /// Nothing is to be done.
    #[track_caller]
    pub(crate) fn then_nothing(self) -> Scenario {
        self.then([])
    }

    /// Permits that are to be issued, or were; 0 for a refusal.
    pub(crate) fn permits(self) -> u32 {
        match self.answer {
            Answer::Append(events) => events.iter().map(permits).sum(),
            Answer::Granted { permits, .. } => permits,
            Answer::Refused(_)
            | Answer::Rejected(_)
            | Answer::CatchUp
            | Answer::Acknowledged
            | Answer::Denied
            | Answer::Wait
            | Answer::Noted => 0,
        }
    }
}

fn permits(event: &Event) -> u32 {
    if let Event::GrantIssued { permits, .. } = event { *permits } else { 0 }
}
