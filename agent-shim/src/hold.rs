//! What the adapters do on behalf of a fault, beside their protocol: wait, and keep a failure of ours from the host.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use squall_shim_core::{Directive, NotApplied};

use crate::Shim;

/// How often an adapter looks whether an answer that it waits for is still to be changed. A tenth of the grace that a
/// stop gives ([`CANCEL_GRACE`](squall_proto::vocabulary::limits::CANCEL_GRACE)).
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(25);

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Time for which the call was held.
    pub(crate) time: Duration,
    /// Whether it was held to the end; otherwise the session stopped, or the lease ended.
    pub(crate) complete: bool,
}

/// Holds a call as long as its directive says and may go on. No hold at all is complete at once.
pub(crate) async fn hold(shim: &Shim, directive: &mut Directive) -> Held {
    if directive.effect().hold.is_zero() {
        return Held { time: Duration::ZERO, complete: true };
    }
    let time = shim.delay(directive).await;
    Held { time, complete: directive.is_live() }
}

/// Does a piece of the fault's work. A panic in it is a fault of the shim, and none of the host's business.
pub(crate) fn unharmed<T>(work: impl FnOnce() -> Result<T, NotApplied>) -> Result<T, NotApplied> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(NotApplied::Adapter))
}
