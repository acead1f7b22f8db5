//! Who else writes to the log of a replica: another one, or nobody honest.

use std::time::Duration;

use squall::engine::Input;
use squall_domain::event::{
    AbortCause, BoundScope, CommandKind, CommandRef, DrainReason, Ending, Event, LeverEvent,
    ProofKind, Record, Recorded, Totals,
};
use squall_domain::session::Session;
use squall_proto::subject::Subject;
use squall_proto::vocabulary::id::{AppendId, Holder, SessionKey};
use squall_proto::vocabulary::message::GrantScope;
use squall_proto::vocabulary::time::UnixMillis;

use super::voices::scope;
use super::{House, cast};
use crate::doors::cast::Script;

impl House {
    /// Somebody else writes to the log: another replica, or nobody honest.
    pub(super) fn foreign(&mut self, script: &mut Script<'_>) {
        let (key, time) = (script.session(), self.now.wall);
        match script.below(8) {
            0 => self.log.write(Subject::SessionLog { session: key }, script.bytes().into(), time),
            1 => {
                let subject = Subject::LeverLog { scope: scope(script).log_tenant() };
                self.log.write(subject, script.bytes().into(), time);
            }
            2 => {
                let subject = Subject::LeverLog { scope: scope(script).log_tenant() };
                let event = match script.below(3) {
                    0 => LeverEvent::Engaged { reason: "stop".to_owned() },
                    1 => LeverEvent::Released { reason: "go on".to_owned() },
                    _ => LeverEvent::Renewed { engaged: None },
                };
                let previous = if script.below(4) > 0 { self.log.head(&subject) } else { [1; 32] };
                let record = record(script, time, previous, Totals::default(), event);
                self.log.write_lever(subject, &record, time);
            }
            3 => self.log.write(
                Subject::AuditLog { tenant: cast::tenant() },
                script.bytes().into(),
                time,
            ),
            _ => {
                let subject = Subject::SessionLog { session: key.clone() };
                let event = event(script, &key);
                let session = self.engine.world().session(&key);
                let totals = totals(session, &event, script);
                let previous = if script.below(8) > 0 { self.log.head(&subject) } else { [1; 32] };
                let record = record(script, time, previous, totals, event);
                self.log.write_session(&key, &record, time);
            }
        }
        self.input(Input::Tick);
    }
}

fn holder(script: &mut Script<'_>) -> Holder {
    Holder {
        tenant: cast::tenant(),
        shim: cast::shim(script.below(3)),
        incarnation: script.incarnation(),
    }
}

/// The totals that an honest writer would give, or others.
fn totals(session: Option<&Session>, event: &Event, script: &mut Script<'_>) -> Totals {
    let mut totals = session.map(|session| session.ledger.totals()).unwrap_or_default();
    match event {
        Event::GrantIssued { permits, .. } => totals.issued += u64::from(*permits),
        Event::GrantClosed { holder, used, .. } => {
            let open = session.and_then(|session| session.ledger.open_grant(holder));
            let permits = open.map_or(0, |open| open.permits);
            totals.refunded += u64::from(permits.saturating_sub(*used));
        }
        Event::Created { .. }
        | Event::Started { .. }
        | Event::Paused
        | Event::Resumed
        | Event::DrainBegan { .. }
        | Event::Ended { .. }
        | Event::ScopeBound { .. }
        | Event::Aborted { .. }
        | Event::InertConfirmed { .. }
        | Event::StopProven { .. }
        | Event::GuardTripped { .. }
        | Event::LogDamaged { .. } => {}
    }
    if script.below(16) == 15 {
        totals.issued = script.number();
        totals.refunded = script.number();
    }
    totals
}

fn record<E>(
    script: &mut Script<'_>,
    at: UnixMillis,
    previous: [u8; 32],
    totals: Totals,
    event: E,
) -> Record<E> {
    let command = script.is_yes().then(|| CommandRef {
        request: format!("request-{}", script.byte()).parse().expect("a token"),
        actor: "another".parse().expect("a name"),
        kind: CommandKind::Pause,
    });
    let append = AppendId([script.byte(); 16]);
    Record { append, at, previous, totals, events: vec![Recorded { command, event }] }
}

fn event(script: &mut Script<'_>, session: &SessionKey) -> Event {
    match script.below(16) {
        0 => Event::Created {
            spec: cast::spec(session).expect("it is one of the cast"),
            seed: script.number(),
            digest: [script.below(2); 32],
        },
        1 => Event::Started { shims: script.below(3).into() },
        2 => Event::Paused,
        3 => Event::Resumed,
        4 => Event::DrainBegan {
            why: *script.pick(&[DrainReason::Operator, DrainReason::Duration, DrainReason::Budget]),
        },
        5 => Event::Ended {
            how: *script.pick(&[Ending::Completed, Ending::Exhausted, Ending::Expired]),
        },
        6 => Event::ScopeBound { scope: bound(script) },
        7..=9 => Event::GrantIssued {
            holder: holder(script),
            req_no: script.number().max(1),
            permits: u32::from(script.byte()) % 16 + 1,
            scope: GrantScope::default(),
            agent: script.agent(),
            trace: script.trace(),
        },
        10 | 11 => Event::GrantClosed {
            holder: holder(script),
            req_no: script.number().max(1),
            used: script.below(16).into(),
        },
        12 => Event::Aborted {
            reason: "enough".to_owned(),
            cause: match script.below(4) {
                0 => AbortCause::Operator,
                1 => AbortCause::Lever(script.number()),
                2 => AbortCause::Cascade,
                _ => AbortCause::Reported,
            },
        },
        13 => Event::InertConfirmed {
            holder: holder(script),
            used: script.number(),
            last_injection_ago: script.is_yes().then(|| Duration::from_nanos(script.number())),
        },
        14 => Event::StopProven {
            by: *script.pick(&[ProofKind::Confirmations, ProofKind::Time]),
            out_of_contact: vec![holder(script)],
        },
        _ => match script.below(2) {
            0 => Event::GuardTripped {
                failed_downstream: script.number(),
                threshold: script.byte().into(),
            },
            _ => Event::LogDamaged { why: "somebody says so".to_owned() },
        },
    }
}

fn bound(script: &mut Script<'_>) -> BoundScope {
    match script.below(3) {
        0 => BoundScope::Agent(cast::tenant(), script.agent()),
        1 => BoundScope::Trace(cast::tenant(), "trace-1".parse().expect("a name")),
        _ => BoundScope::Request(cast::tenant(), script.below(3).into()),
    }
}
