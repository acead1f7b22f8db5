//! Filters of session lists: `state = RUNNING`, several with `OR`. Anything else is refused rather than ignored.

use squall_domain::session::Phase;
use squall_proto::vocabulary::violation::Check;

/// Every state, as filters name it: the names of `SessionState` without their prefix.
const STATES: [(Phase, &str); 8] = [
    (Phase::Draft, "DRAFT"),
    (Phase::Running, "RUNNING"),
    (Phase::Paused, "PAUSED"),
    (Phase::Draining, "DRAINING"),
    (Phase::Completed, "COMPLETED"),
    (Phase::Exhausted, "EXHAUSTED"),
    (Phase::Aborted, "ABORTED"),
    (Phase::LogDamaged, "LOG_DAMAGED"),
];

/// Which sessions a list shows.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct States(Vec<Phase>);

impl States {
    /// Reads the field `filter`.
    pub(crate) fn read(check: &mut Check, filter: &str) -> Option<Self> {
        if filter.trim().is_empty() {
            return Some(Self::default());
        }
        let states: Option<Vec<Phase>> = filter.split(" OR ").map(term).collect();
        check.field("filter", |check| {
            check.require(states.is_some(), || {
                let names: Vec<_> = STATES.iter().map(|(_, name)| *name).collect();
                format!(
                    "is {filter:?}; allowed is `state = STATE`, several joined with ` OR `; states are {}",
                    names.join(", ")
                )
            });
        });
        states.map(Self)
    }

    /// The states that the list shows; every state, if none is named.
    pub(crate) fn phases(&self) -> &[Phase] {
        &self.0
    }
}

fn term(term: &str) -> Option<Phase> {
    let (field, state) = term.split_once('=')?;
    let state = state.trim().trim_matches('"');
    let state = state.strip_prefix("SESSION_STATE_").unwrap_or(state);
    let found = STATES.iter().find(|(_, name)| *name == state)?;
    (field.trim() == "state").then_some(found.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(filter: &str) -> Option<States> {
        States::read(&mut Check::new(), filter)
    }

    #[test]
    fn states_may_be_joined() {
        let live = read("state = RUNNING OR state=PAUSED OR state = \"DRAINING\"").unwrap();
        assert_eq!(live.phases(), [Phase::Running, Phase::Paused, Phase::Draining]);
        assert_eq!(read("").unwrap().phases(), []);
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "RUNNING",
            "state != RUNNING",
            "state = running",
            "name = a",
            "state = RUNNING AND state = DRAFT",
            "state = RUNNING OR",
            "state =",
        ] {
            assert_eq!(read(bad), None, "{bad:?} was accepted");
        }
    }

    #[test]
    fn every_state_has_its_own_name() {
        for (phase, name) in STATES {
            assert_eq!(phase.name().to_uppercase(), name);
        }
    }
}
