//! Stops: from when on nothing may begin, by when everything must have ended, and whether "proven" was true when it was said.

use std::time::Duration;

use squall_domain::event::ProofKind;
use squall_proto::vocabulary::id::{Holder, SessionKey};
use squall_proto::vocabulary::limits::{CANCEL_GRACE, CLOCK_RATE_PPM, LEASE_TTL};

use super::{Book, Running};
use crate::clock::Moment;

/// An abort or halt.
#[derive(Clone, Copy, Debug)]
pub struct Stopped {
    /// When it was in the log.
    pub at: Moment,
    /// When it was proven, in the log.
    pub proven: Option<Moment>,
}

/// TTL / (1 - rho): the longest that a lease takes in real time.
pub(super) fn longest_lease() -> Duration {
    let nanos = LEASE_TTL.as_nanos() * 1_000_000;
    let nanos = nanos.div_ceil(u128::from(1_000_000 - CLOCK_RATE_PPM));
    Duration::from_nanos(u64::try_from(nanos).expect("three seconds"))
}

impl Book {
    /// It is over for good, by its own record or by a lever's.
    pub(super) fn stops(&mut self, now: Moment, key: &SessionKey) {
        if let Some(account) = self.accounts.get_mut(key) {
            account.stopped.get_or_insert(Stopped { at: now, proven: None });
        }
    }

    /// By when nothing of a stopped session may begin any more (T1).
    pub(super) fn begins_until(stopped: Moment) -> Moment {
        stopped.plus(longest_lease())
    }

    /// By when everything of a stopped session must have ended (T1).
    pub(super) fn ends_until(stopped: Moment) -> Moment {
        stopped.plus(longest_lease() + CANCEL_GRACE)
    }

    /// "Proven" was said: it must be true now, and nothing may begin from now on.
    pub(super) fn proven(
        &mut self,
        now: Moment,
        key: &SessionKey,
        by: ProofKind,
        out_of_contact: &[Holder],
    ) {
        if let Some(stopped) =
            self.accounts.get_mut(key).and_then(|account| account.stopped.as_mut())
        {
            stopped.proven.get_or_insert(now);
        } else {
            self.violated("PROOF", format!("{key} was proven to be stopped, and never was"));
        }
        let by_time = match by {
            ProofKind::Time => true,
            ProofKind::Confirmations => false,
        };
        if by_time && !self.trusts_clocks() {
            return;
        }
        // A host that stood still is outside of T1, and it is said who was out of contact.
        let excused = |running: &Running| {
            by_time
                && running.frozen
                && (out_of_contact.contains(&running.holder) || running.grant.is_none())
        };
        let runs =
            self.running.values().find(|running| running.session == *key && !excused(running));
        if let Some(running) = runs {
            let what = format!(
                "{key} is proven to be stopped ({by:?}) and a fault runs in {}",
                running.who
            );
            self.violated("PROOF", what);
        }
    }

    /// A holder confirmed a stop: nothing of the session runs in it.
    pub(super) fn confirmed(&mut self, key: &SessionKey, holder: &Holder, used: u64) {
        let Some(account) = self.accounts.get(key) else { return };
        let burned: u64 = account
            .grants
            .iter()
            .filter(|((who, _), _)| who == holder)
            .map(|(_, grant)| u64::from(grant.burned))
            .sum();
        let runs = self
            .running
            .values()
            .any(|running| running.session == *key && running.holder == *holder);
        if runs {
            self.violated("PROOF", format!("{key}: {holder:?} confirmed a stop while a fault ran"));
        }
        if account_is_strict(self, key) && used < burned {
            self.violated("PROOF", format!("{key}: {holder:?} confirmed {used} used of {burned}"));
        }
    }
}

fn account_is_strict(book: &Book, key: &SessionKey) -> bool {
    book.account(key).is_some_and(super::Account::is_strict)
}
