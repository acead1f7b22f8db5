//! Waiting in the host's own runtime on behalf of a fault, and never longer than the fault may.

use std::time::Duration;

use squall_proto::vocabulary::limits::CLAIM_WAIT;
use squall_shim_core::{Directive, Verdict};
use tokio::time::{Instant, sleep};

/// How often a wait looks whether it may go on. A tenth of the grace that a stop gives
/// ([`CANCEL_GRACE`](squall_proto::vocabulary::limits::CANCEL_GRACE)).
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(25);
/// How often a claim looks for its permit: it waits 20 ms at most.
const CLAIM_LOOK_EVERY: Duration = Duration::from_millis(1);

/// The directive of a verdict, once a claim among them has its permit or has waited for it in vain.
pub(crate) async fn settled(verdict: Verdict) -> Option<Directive> {
    let claim = match verdict {
        Verdict::Pass => return None,
        Verdict::Inject(directive) => return Some(directive),
        Verdict::Claim(claim) => claim,
    };
    let until = Instant::now() + CLAIM_WAIT;
    while !claim.is_ready() && Instant::now() < until {
        sleep(CLAIM_LOOK_EVERY).await;
    }
    match claim.settle() {
        Verdict::Inject(directive) => Some(directive),
        Verdict::Pass | Verdict::Claim(_) => None,
    }
}

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Time for which the call was held.
    pub(crate) time: Duration,
    /// Whether it was held to the end; otherwise the session stopped, or the lease ended.
    pub(crate) complete: bool,
}

/// Holds a call as long as its directive says and may go on. A hold of no time is complete at once and engages nothing.
pub(crate) async fn hold(directive: &mut Directive) -> Held {
    let time = directive.effect().hold;
    if time.is_zero() {
        return Held { time, complete: true };
    }
    let start = Instant::now();
    directive.engage();
    while let Some(left) = time.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        if !directive.is_live() {
            return Held { time: start.elapsed(), complete: false };
        }
        sleep(left.min(LOOK_EVERY)).await;
    }
    Held { time: start.elapsed(), complete: directive.is_live() }
}
