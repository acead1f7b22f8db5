//! What one replica measures by its own clock. Never replicated, never in a snapshot; wrong only on the safe side.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use squall_proto::vocabulary::blast_radius::RateLimit;
use squall_proto::vocabulary::id::Holder;
use squall_proto::vocabulary::limits::{CLOCK_RATE_PPM, PERMIT_LIFE};
use squall_proto::vocabulary::time::{BootNanos, stretched};

/// What the ledger's caps are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// Permits that may still be in use.
    pub outstanding: u64,
    /// Permits issued in the session's rate window and not given back.
    pub issued_in_window: u64,
    /// Holders that asked lately.
    pub askers: u64,
}

/// Ages of one session's grants, from this replica's own apply of their issue.
#[derive(Clone, Debug, Default)]
pub struct Ages {
    open: BTreeMap<(Holder, u64), Aged>,
    issued: VecDeque<(BootNanos, u64, Holder, u64)>,
    /// Whether permits were issued that this replica did not see issued: nobody can say when.
    undated: bool,
    askers: BTreeMap<Holder, BootNanos>,
}

#[derive(Clone, Copy, Debug)]
struct Aged {
    since: BootNanos,
    permits: u64,
}

/// A holder counts as asking for this long after its last Ask.
const ASKING: Duration = Duration::from_secs(2);
/// Most askers that are counted: more only make grants smaller, and they are 1 by then.
const ASKERS_MAX: usize = 4096;

impl Ages {
    /// A grant was applied.
    pub fn issued(&mut self, holder: &Holder, req_no: u64, permits: u32, now: BootNanos) {
        let permits = u64::from(permits);
        self.open.insert((holder.clone(), req_no), Aged { since: now, permits });
        self.issued.push_back((now, permits, holder.clone(), req_no));
    }

    /// The replica starts to measure in the middle: permits were issued before, and nobody can say when.
    pub fn begin_undated(&mut self) {
        self.undated = true;
    }

    /// A close was applied: the grant is no longer in use, and its unused permits were never injected.
    pub fn closed(&mut self, holder: &Holder, req_no: u64, used: u32) {
        self.open.remove(&(holder.clone(), req_no));
        let Some(at) =
            self.issued.iter().rposition(|(_, _, who, no)| *no == req_no && who == holder)
        else {
            return;
        };
        if used == 0 {
            self.issued.remove(at);
        } else {
            self.issued[at].1 = u64::from(used);
        }
    }

    /// Somebody asked.
    pub fn asked(&mut self, holder: &Holder, now: BootNanos) {
        self.askers.retain(|_, last| now.since(*last) < ASKING);
        if self.askers.len() < ASKERS_MAX {
            self.askers.insert(holder.clone(), now);
        }
    }

    /// Counts, and forgets what is too old to count. `longest_use` is (V + D)(1 + rho)/(1 - rho): a permit is in use
    /// no longer than that after it was issued, on any clock.
    ///
    /// `known_since` is when this replica began to apply the log live: what was issued before is dated there. Where anything
    /// was ([`Ages::begin_undated`]), a rate window that reaches further back counts as full.
    pub fn usage(
        &mut self,
        now: BootNanos,
        known_since: BootNanos,
        longest_use: Duration,
        rate: Option<RateLimit>,
    ) -> Usage {
        self.askers.retain(|_, last| now.since(*last) < ASKING);
        self.open.retain(|_, grant| now.since(grant.since) <= longest_use);
        Usage {
            outstanding: self.open.values().map(|grant| grant.permits).sum(),
            issued_in_window: rate.map_or(0, |rate| self.in_window(now, known_since, rate)),
            askers: self.askers.len() as u64,
        }
    }

    fn in_window(&mut self, now: BootNanos, known_since: BootNanos, rate: RateLimit) -> u64 {
        let window = counted_window(rate.window);
        while self.issued.front().is_some_and(|(at, ..)| now.since(*at) > window) {
            self.issued.pop_front();
        }
        if self.undated && now.since(known_since) <= window {
            return u64::from(rate.permits);
        }
        self.issued.iter().map(|(_, permits, ..)| permits).sum()
    }

    /// Drops what only a rate window needs, for sessions without one.
    pub fn forget_rates(&mut self) {
        self.issued.clear();
    }
}

/// A permit issued in the last (W + V/(1 - rho))(1 + rho) may be injected within a real window W. What is counted is a
/// little longer, by 1/(1 - rho): one stretch for all clocks, on the safe side.
fn counted_window(window: Duration) -> Duration {
    let slow =
        PERMIT_LIFE * 1_000_000 / u32::try_from(1_000_000 - CLOCK_RATE_PPM).unwrap_or(1_000_000);
    stretched(window + slow)
}

#[cfg(test)]
mod tests;
