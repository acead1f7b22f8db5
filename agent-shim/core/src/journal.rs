//! What a process writes down of its burned permits, so that its successor can give back the rest of a grant after a
//! crash (docs/protocol.md, shim rule 6). Without one they stay spent, which is safe.

use std::fmt::Debug;
use std::sync::Arc;

use squall_proto::vocabulary::id::SessionKey;

/// Where burns are written down. Must survive the process, and be void after the machine's restart.
pub trait Journal: Debug + Send + Sync {
    /// A grant is about to be used. `None`: there is no room for it, and it is not written down.
    fn open(&self, session: &SessionKey, req_no: u64, permits: u32) -> Option<Arc<dyn BurnLog>>;

    /// The grant's Close was acknowledged: nothing is owed any more.
    fn settled(&self, session: &SessionKey, req_no: u64);
}

/// Where the burns of one grant are written down.
pub trait BurnLog: Debug + Send + Sync {
    /// A permit was burned. Called before its fault is applied; must not block.
    ///
    /// # Errors
    /// [`Lost`]; then the fault must not be applied.
    fn burned(&self) -> Result<(), Lost>;
}

/// Another life has taken the journal, and closes the grant: none of its permits may be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal is another life's")]
pub struct Lost;
