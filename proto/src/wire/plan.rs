//! Plans, their versions, and how sessions end.

use std::sync::Arc;
use std::time::Duration;

use super::read::{Read, field, list, missing, required, try_from_wire, within};
use super::time::nanos;
use super::v1;
use crate::vocabulary::id::{AppendId, SessionKey};
use crate::vocabulary::limits::PLAN_SESSIONS_MAX;
use crate::vocabulary::plan::{AbortEpoch, Ending, Plan, PlanSession, PlanVersion};
use crate::vocabulary::violation::Check;

impl From<&PlanVersion> for v1::PlanVersion {
    fn from(version: &PlanVersion) -> Self {
        let PlanVersion { log, sequence } = version;
        Self { log: log.to_string(), sequence: *sequence }
    }
}

impl Read<v1::PlanVersion> for PlanVersion {
    fn read(check: &mut Check, wire: v1::PlanVersion) -> Option<Self> {
        let v1::PlanVersion { log, sequence } = wire;
        Some(Self { log: field(check, "log", log)?, sequence })
    }
}

impl From<AbortEpoch> for v1::AbortEpoch {
    fn from(epoch: AbortEpoch) -> Self {
        use v1::abort_epoch::Epoch;
        let epoch = match epoch {
            AbortEpoch::Pushed(append) => Epoch::Pushed(append.into()),
            AbortEpoch::Logged(sequence) => Epoch::Logged(sequence),
        };
        Self { epoch: Some(epoch) }
    }
}

impl Read<v1::AbortEpoch> for AbortEpoch {
    fn read(check: &mut Check, wire: v1::AbortEpoch) -> Option<Self> {
        use v1::abort_epoch::Epoch;
        let v1::AbortEpoch { epoch } = wire;
        match epoch {
            Some(Epoch::Pushed(append)) => {
                field::<_, AppendId>(check, "pushed", append).map(Self::Pushed)
            }
            Some(Epoch::Logged(sequence)) => Some(Self::Logged(sequence)),
            None => missing(check),
        }
    }
}

impl From<&Plan> for v1::Plan {
    fn from(plan: &Plan) -> Self {
        let Plan { version, previous, page, pages, live, ended } = plan;
        Self {
            version: Some(version.into()),
            previous: *previous,
            page: *page,
            pages: *pages,
            live: live.iter().map(Into::into).collect(),
            ended: ended.iter().map(Into::into).collect(),
        }
    }
}

impl Read<v1::Plan> for Plan {
    fn read(check: &mut Check, wire: v1::Plan) -> Option<Self> {
        let v1::Plan { version, previous, page, pages, live, ended } = wire;
        let version = required(check, "version", version);
        let most = if previous.is_some() { 1 } else { u32::MAX };
        let pages = within(check, "pages", pages, 1, most);
        let page = within(check, "page", page, 0, pages.unwrap_or(u32::MAX) - 1);
        let live = list(check, "live", live, PLAN_SESSIONS_MAX);
        let ended = list(check, "ended", ended, PLAN_SESSIONS_MAX);
        Some(Self {
            version: version?,
            previous,
            page: page?,
            pages: pages?,
            live: live?,
            ended: ended?,
        })
    }
}

impl From<&PlanSession> for v1::PlanSession {
    fn from(session: &PlanSession) -> Self {
        let PlanSession { key, spec, seed, running, age, remaining, phi0, dry } = session;
        Self {
            key: Some(key.into()),
            spec: Some(spec.as_ref().into()),
            seed: *seed,
            running: *running,
            age_ns: nanos(*age),
            remaining_ns: nanos(*remaining),
            phi0: *phi0,
            dry: *dry,
        }
    }
}

impl Read<v1::PlanSession> for PlanSession {
    fn read(check: &mut Check, wire: v1::PlanSession) -> Option<Self> {
        let v1::PlanSession { key, spec, seed, running, age_ns, remaining_ns, phi0, dry } = wire;
        let key = required(check, "key", key);
        let spec = required(check, "spec", spec);
        let phi0 = within(check, "phi0", phi0, 0.0, 1.0);
        Some(Self {
            key: key?,
            spec: Arc::new(spec?),
            seed,
            running,
            age: Duration::from_nanos(age_ns),
            remaining: Duration::from_nanos(remaining_ns),
            phi0: phi0?,
            dry,
        })
    }
}

impl From<&(SessionKey, Ending)> for v1::EndedSession {
    fn from((session, ending): &(SessionKey, Ending)) -> Self {
        use v1::ended_session;
        let ending = match ending {
            Ending::Ended => ended_session::Ending::Ended(v1::EndedGracefully {}),
            Ending::Aborted(epoch) => ended_session::Ending::Aborted((*epoch).into()),
        };
        Self { session: Some(session.into()), ending: Some(ending) }
    }
}

impl Read<v1::EndedSession> for (SessionKey, Ending) {
    fn read(check: &mut Check, wire: v1::EndedSession) -> Option<Self> {
        use v1::ended_session;
        let v1::EndedSession { session, ending } = wire;
        let session = required(check, "session", session);
        let ending = match ending {
            Some(ended_session::Ending::Ended(v1::EndedGracefully {})) => Some(Ending::Ended),
            Some(ended_session::Ending::Aborted(epoch)) => {
                field(check, "aborted", epoch).map(Ending::Aborted)
            }
            None => check.field("ending", missing),
        };
        Some((session?, ending?))
    }
}

try_from_wire!(PlanVersion => PlanVersion, AbortEpoch => AbortEpoch, Plan => Plan);
