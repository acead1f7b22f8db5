//! The mailbox in which hooks leave a session's demand for permits, and from which the link takes it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use squall_proto::vocabulary::id::{AgentName, TraceId};
use squall_proto::vocabulary::message::ScopeKeys;

use crate::inline::InlineName;
use crate::lock::{lock, try_lock};
use crate::wallet::Keys;

/// What chosen requests of one session wanted and did not have.
///
/// Writing never blocks and never allocates: the count is one atomic, and of the scope keys the newest that found the
/// mailbox free are kept.
#[derive(Debug)]
pub struct Demand {
    wanted: AtomicU32,
    newest: Mutex<Newest>,
}

#[derive(Debug)]
struct Newest {
    agent: InlineName,
    trace: InlineName,
    request: u64,
}

impl Default for Demand {
    fn default() -> Self {
        let newest = Newest { agent: InlineName::EMPTY, trace: InlineName::EMPTY, request: 0 };
        Self { wanted: AtomicU32::new(0), newest: Mutex::new(newest) }
    }
}

impl Demand {
    /// Notes that a request was chosen and had no permit. Returns whether the mailbox was empty before: then the link
    /// must be woken.
    pub fn note(&self, keys: &Keys<'_>) -> bool {
        if let Some(mut newest) = try_lock(&self.newest) {
            newest.agent.set(keys.agent.as_str());
            newest.trace.set(keys.trace.map_or("", TraceId::as_str));
            newest.request = keys.request;
        }
        self.wanted.fetch_add(1, Ordering::AcqRel) == 0
    }

    /// Chosen requests without a permit since the last [`Demand::take`].
    #[must_use]
    pub fn wanted(&self) -> u32 {
        self.wanted.load(Ordering::Acquire)
    }

    /// Empties the mailbox: how many permits were wanted (at least 1), and the keys of the newest request.
    pub fn take(&self) -> Option<(u32, ScopeKeys)> {
        let newest = lock(&self.newest);
        // The very first writer may have found the mailbox taken by this reader: it is counted, and the next one
        // brings keys.
        let agent = AgentName::new(newest.agent.as_str()).ok()?;
        let trace = TraceId::new(newest.trace.as_str()).ok();
        let keys = ScopeKeys { agent, trace, request: newest.request };
        let wanted = self.wanted.swap(0, Ordering::AcqRel);
        (wanted > 0).then_some((wanted, keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_woken_once_and_takes_everything() {
        let demand = Demand::default();
        assert_eq!(demand.take(), None);
        let agent = AgentName::new("planner").unwrap();
        let trace = TraceId::new("t1").unwrap();
        assert!(demand.note(&Keys { agent: &agent, trace: None, request: 1 }));
        assert!(!demand.note(&Keys { agent: &agent, trace: Some(&trace), request: 2 }));
        let keys = ScopeKeys { agent: agent.clone(), trace: Some(trace), request: 2 };
        assert_eq!(demand.take(), Some((2, keys)));
        assert_eq!(demand.take(), None);
        assert!(demand.note(&Keys { agent: &agent, trace: None, request: 3 }), "empty again");
        assert_eq!(demand.take().unwrap().1.trace, None);
    }
}
