//! The process's one lease: until when permits may be used without contact (docs/protocol.md, coordinator rule 6, shim rule 1).

use std::time::Duration;

use squall_proto::vocabulary::limits::LEASE_TTL;
use squall_proto::vocabulary::time::BootNanos;

use super::pace::{self, RENEW_EVERY, Retry};
use super::random::Random;

/// Renewals under way at most: an unanswered one must not stop the next, which is dated anew.
const UNDER_WAY_MAX: u8 = 3;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    until: BootNanos,
    next: BootNanos,
    under_way: u8,
    failures: Retry,
    expiry_told: bool,
    blocked: bool,
    /// Whether anything runs, or could run, on it.
    pub(super) needed: bool,
}

impl Lease {
    pub(super) const fn none() -> Self {
        Self {
            until: BootNanos(0),
            next: BootNanos(0),
            under_way: 0,
            failures: Retry::idle(pace::RENEW),
            expiry_told: true,
            blocked: false,
            needed: false,
        }
    }

    pub(super) const fn until(&self) -> BootNanos {
        self.until
    }

    /// An answer to something sent at `sent`. The end is counted from there, never from the receipt.
    /// Whether the lease got longer by it.
    pub(super) fn extend(
        &mut self,
        sent: BootNanos,
        remaining: Duration,
        random: &mut Random,
    ) -> bool {
        self.failures.done();
        self.next = self.next.max(sent.plus(renew_after(random)));
        let until = sent.plus(remaining.min(LEASE_TTL));
        let longer = until > self.until;
        if longer {
            self.until = until;
            self.expiry_told = false;
        }
        longer
    }

    /// Void at once.
    pub(super) fn end(&mut self) {
        *self = Self::none();
    }

    /// Whether a Renew has to go out now.
    pub(super) fn is_due(&self, now: BootNanos) -> bool {
        self.next <= now && self.under_way < UNDER_WAY_MAX
    }

    /// A Renew goes out.
    pub(super) fn sent(&mut self, now: BootNanos, random: &mut Random) {
        self.under_way += 1;
        self.next = now.plus(renew_after(random));
    }

    /// The plan lacks a stop: an answer came, and it did not extend the lease.
    pub(super) fn blocked(&mut self) {
        self.blocked = true;
    }

    /// The plan is newer now: what was refused for its age is asked for again.
    pub(super) fn unblocked(&mut self, now: BootNanos) {
        if std::mem::take(&mut self.blocked) {
            self.next = now;
        }
    }

    /// A Renew was answered, or never will be.
    pub(super) fn answered(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// A Renew failed: the next one comes sooner, since what is left of the lease runs out.
    pub(super) fn failed(&mut self, now: BootNanos, least: Duration, random: &mut Random) {
        self.failures.failed(now, least, random);
        if let Some(sooner) = self.failures.wake() {
            self.next = self.next.min(sooner);
        }
    }

    /// Whether the lease ran out since this was asked last.
    pub(super) fn ran_out(&mut self, now: BootNanos) -> bool {
        let news = !self.expiry_told && self.until <= now;
        self.expiry_told |= news;
        news
    }

    /// When the next Renew is due.
    pub(super) fn renew_wake(&self) -> Option<BootNanos> {
        (self.under_way < UNDER_WAY_MAX).then_some(self.next)
    }

    /// When the lease runs out, unless that was told.
    pub(super) fn expiry_wake(&self) -> Option<BootNanos> {
        (!self.expiry_told).then_some(self.until)
    }
}

/// A third of the lease at most, so that a fleet that started together drifts apart.
fn renew_after(random: &mut Random) -> Duration {
    RENEW_EVERY.mul_f64(0.8) + random.within(RENEW_EVERY.mul_f64(0.2))
}
