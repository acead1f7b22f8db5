//! The mailbox in which hooks leave a session's demand for permits, and from which the link takes it.

use squall_proto::vocabulary::message::ScopeKeys;

use crate::wallet::Keys;

/// What chosen requests of one session wanted and did not have.
///
/// Writing never blocks and never allocates: the count is one atomic, and of the scope keys the newest that found the
/// mailbox free are kept.
#[derive(Debug, Default)]
pub struct Demand {}

impl Demand {
    /// Notes that a request was chosen and had no permit. Returns whether the mailbox was empty before: then the link
    /// must be woken.
    pub fn note(&self, keys: &Keys<'_>) -> bool {
        let _ = keys;
        todo!()
    }

    /// Chosen requests without a permit since the last [`Demand::take`].
    #[must_use]
    pub fn wanted(&self) -> u32 {
        todo!()
    }

    /// Empties the mailbox: how many permits were wanted (at least 1), and the keys of the newest request.
    pub fn take(&self) -> Option<(u32, ScopeKeys)> {
        todo!()
    }
}
