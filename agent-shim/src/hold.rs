//! What the adapters do on behalf of a fault, beside their protocol: look whether it may go on, and keep a failure of ours
//! from the host.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use squall_shim_core::NotApplied;

/// How often an adapter looks whether an answer that it waits for is still to be changed. A tenth of the grace that a
/// stop gives ([`CANCEL_GRACE`](squall_proto::vocabulary::limits::CANCEL_GRACE)).
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Does a piece of the fault's work. A panic in it is a fault of the shim, and none of the host's business.
pub(crate) fn unharmed<T>(work: impl FnOnce() -> Result<T, NotApplied>) -> Result<T, NotApplied> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(NotApplied::Adapter))
}
