//! What the adapters do on behalf of a fault, beside their protocol: look whether it may go on.

use std::time::Duration;

/// How often an adapter looks whether an answer that it waits for is still to be changed. A tenth of the grace that a
/// stop gives ([`CANCEL_GRACE`](squall_proto::vocabulary::limits::CANCEL_GRACE)).
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(25);
