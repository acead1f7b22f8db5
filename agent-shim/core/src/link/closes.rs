//! Closes that were not acknowledged yet. Each is final, and repeated until its answer (docs/protocol.md, shim rules 3 and 4).

use std::collections::BTreeMap;

use squall_proto::vocabulary::id::{Incarnation, SessionKey};
use squall_proto::vocabulary::message::{Close, GrantRef};
use squall_proto::vocabulary::time::BootNanos;

use super::pace::{self, Retry};

/// Most Closes kept. Past it a new one is dropped: its permits stay spent, which is safe.
const CLOSES_MAX: usize = 4096;

/// Session, life, request: ordered so that the Closes of one session lie together.
type Key = (SessionKey, Incarnation, u64);

#[derive(Clone, Debug)]
struct Pending {
    used: u32,
    retry: Retry,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Closes(BTreeMap<Key, Pending>);

impl Closes {
    /// Owes `close` from now on. What was said once is never changed.
    pub(super) fn owe(&mut self, close: Close, now: BootNanos) {
        if self.0.len() < CLOSES_MAX {
            let retry = Retry::at(pace::CLOSE, now);
            self.0.entry(key(&close)).or_insert(Pending { used: close.used, retry });
        }
    }

    /// Whether this grant's Close is not acknowledged yet; if so it is sent again now.
    pub(super) fn again(
        &mut self,
        incarnation: Incarnation,
        grant: &GrantRef,
        now: BootNanos,
    ) -> bool {
        let pending = self.0.get_mut(&(grant.session.clone(), incarnation, grant.req_no));
        pending.map(|pending| pending.retry.want(now)).is_some()
    }

    /// Acknowledged.
    pub(super) fn settled(&mut self, close: &Close) {
        self.0.remove(&key(close));
    }

    /// Everything of the log is void, its grants too.
    pub(super) fn void(&mut self) {
        self.0.clear();
    }

    /// Whether a Close of this session and life is not acknowledged yet.
    pub(super) fn holds(&self, session: &SessionKey, incarnation: Incarnation) -> bool {
        let (first, last) =
            ((session.clone(), incarnation, 0), (session.clone(), incarnation, u64::MAX));
        self.0.range(first..=last).next().is_some()
    }

    /// The Closes to send now, with the retry to note it in.
    pub(super) fn due(&mut self, now: BootNanos) -> impl Iterator<Item = (Close, &mut Retry)> {
        self.0
            .iter_mut()
            .filter(move |(_, pending)| pending.retry.is_due(now))
            .map(|(key, pending)| (close(key, pending.used), &mut pending.retry))
    }

    /// The retry of `close`, if it is not acknowledged yet.
    pub(super) fn retry(&mut self, close: &Close) -> Option<&mut Retry> {
        self.0.get_mut(&key(close)).map(|pending| &mut pending.retry)
    }

    pub(super) fn wake(&self) -> Option<BootNanos> {
        self.0.values().filter_map(|pending| pending.retry.wake()).min()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn key(close: &Close) -> Key {
    (close.grant.session.clone(), close.incarnation, close.grant.req_no)
}

fn close((session, incarnation, req_no): &Key, used: u32) -> Close {
    let grant = GrantRef { session: session.clone(), req_no: *req_no };
    Close { incarnation: *incarnation, grant, used }
}
