//! How fast the link does what it does: every interval with its reason, and retries with jitter.

use std::time::Duration;

use squall_proto::vocabulary::limits::{CLAIM_WAIT, LEASE_TTL};
use squall_proto::vocabulary::time::BootNanos;

use super::Correlation;
use super::random::Random;

/// First and longest pause between two tries of the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    first: Duration,
    longest: Duration,
}

const fn pace(first_ms: u64, longest_ms: u64) -> Pace {
    Pace { first: Duration::from_millis(first_ms), longest: Duration::from_millis(longest_ms) }
}

/// Hello: a fleet that lost its coordinator must not storm it when it is back.
pub(super) const HELLO: Pace = pace(100, 5_000);
/// Sync: see [`HELLO`].
pub(super) const SYNC: Pace = pace(100, 5_000);
/// Ask: a request that waited for long has no use for its answer.
pub(super) const ASK: Pace = pace(150, 1_000);
/// Close: nobody waits for it, and it is repeated for as long as it takes.
pub(super) const CLOSE: Pace = pace(200, 5_000);
/// Inert: an operator waits for it.
pub(super) const INERT: Pace = pace(100, 2_000);
/// Renew while the lease runs on: a few tries must fit into what is left of it.
pub(super) const RENEW: Pace = pace(100, 500);
/// Reports of aborts that the log may lack: nearly always the plan tells first that the log has them.
pub(super) const REPORT: Pace = pace(1_500, 10_000);

/// A gap in the plan: the whole tenant has it, so shims spread over this time (docs/protocol.md, shim rule 9).
pub(super) const GAP_SPREAD: Duration = Duration::from_secs(2);
/// A lease that a newer stop holds back: only holders of permits have it, and their lease runs out meanwhile.
pub(super) const STOP_SPREAD: Duration = Duration::from_millis(300);
/// A changed announcement: adapters register many sites in a row.
pub(super) const ANNOUNCE_SETTLES: Duration = Duration::from_millis(200);
/// Renewals while permits are held: three fit into one lease (docs/protocol.md, coordinator rule 6).
pub(super) const RENEW_EVERY: Duration = LEASE_TTL.checked_div(3).expect("3 is not 0");
/// An Ask is given up after this time: half of what its permits would live.
pub(super) const ASK_GIVES_UP: Duration = Duration::from_secs(5);
/// Permits bound to one request go back after this time: who asked for them has long passed.
pub(super) const CLAIM_IDLE: Duration = CLAIM_WAIT.saturating_mul(10);
/// Shortest pause after a refusal that names none.
pub(super) const REFUSED_AT_LEAST: Duration = Duration::from_millis(50);
/// Longest pause after a refusal, whatever it names: a wrong number must not silence a shim for good.
pub(super) const REFUSED_AT_MOST: Duration = Duration::from_secs(60);
/// `Dry` holds this long: its `Refill` may get lost.
pub(super) const DRY_HOLDS: Duration = Duration::from_secs(10);
/// One draw of "may I ask" in each round (simulated so: docs/protocol.md, "Finding the demand").
pub(super) const DEMAND_ROUND: Duration = Duration::from_millis(200);
/// A fault that ends is told to the link; should that get lost, it looks again after this time.
pub(super) const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// Evidence goes out this often at most.
pub(super) const EVIDENCE_EVERY: Duration = Duration::from_millis(200);
/// Counters that nobody was told about (calls that passed) are looked at this often while a session is live.
pub(super) const EVIDENCE_LOOK: Duration = Duration::from_secs(1);
/// What was sent last is sent again after this time, and then after twice as long each time: evidence has no answer, and its
/// last value matters. Its stream may be without a leader for 9 s (docs/nats.md), or without a quorum for longer.
pub(super) const EVIDENCE_REPEATS: Duration = Duration::from_secs(2);
/// Longest pause between two repetitions: one message of a quiet session, as often as its shim says Hello.
pub(super) const EVIDENCE_REPEATS_AT_LEAST: Duration = Duration::from_secs(30);

/// Something that is sent until it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    pace: Pace,
    due: Option<BootNanos>,
    sent: Option<Correlation>,
    failures: u32,
}

impl Retry {
    /// Nothing to send.
    pub(super) const fn idle(pace: Pace) -> Self {
        Self { pace, due: None, sent: None, failures: 0 }
    }

    /// To be sent from `when` on.
    pub(super) const fn at(pace: Pace, when: BootNanos) -> Self {
        Self { pace, due: Some(when), sent: None, failures: 0 }
    }

    /// To be sent at `when`, or earlier if it already is. What is under way no longer counts.
    pub(super) fn want(&mut self, when: BootNanos) {
        self.sent = None;
        self.due = Some(self.due.map_or(when, |due| due.min(when)));
    }

    /// Nothing to send any more.
    pub(super) fn done(&mut self) {
        *self = Self::idle(self.pace);
    }

    /// Sent, and not answered yet.
    pub(super) fn sent(&mut self, correlation: Correlation) {
        self.sent = Some(correlation);
    }

    /// Not answered, or answered with "not now": again after a growing pause, at least `least`.
    pub(super) fn failed(&mut self, now: BootNanos, least: Duration, random: &mut Random) {
        let grown = self.pace.first.saturating_mul(1 << self.failures.min(16));
        let pause = grown.min(self.pace.longest).max(least.min(REFUSED_AT_MOST));
        self.failures = self.failures.saturating_add(1);
        self.sent = None;
        self.due = Some(now.plus(random.around(pause)));
    }

    /// Whether it has to be sent now.
    pub(super) fn is_due(&self, now: BootNanos) -> bool {
        self.wake().is_some_and(|due| due <= now)
    }

    /// When it has to be sent; `None` while an answer is awaited.
    pub(super) fn wake(&self) -> Option<BootNanos> {
        if self.sent.is_some() { None } else { self.due }
    }

    /// Whether `correlation` is the try that is under way.
    pub(super) fn awaits(&self, correlation: Correlation) -> bool {
        self.sent == Some(correlation)
    }

    /// Whether it is wanted at all, under way included.
    pub(super) const fn is_wanted(&self) -> bool {
        self.due.is_some()
    }
}
