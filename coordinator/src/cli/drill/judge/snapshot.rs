//! One snapshot of a session: what must hold in each, and between two of them.

use squall_proto::wire::v1::{Budget, Counts, Session, SessionState, StopStage};

use super::{At, Judge, Promise, Sign};

/// What equal prefixes of the log must show alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ledger {
    issued: u64,
    refunded: u64,
    state: SessionState,
    replica: String,
}

impl Judge {
    /// A replica at `server` shows the session of this round to one who asked at `sent`.
    pub(in crate::cli::drill) fn snapshot(
        &mut self,
        sent: At,
        at: At,
        round: usize,
        server: &str,
        session: &Session,
    ) {
        self.heard(at, server, &session.replica);
        self.whole(server, session);
        self.since_last((sent, at), round, server, session);
        self.same_prefix(round, session);
        self.behind_a_proof(at, round, server, session);
        self.owned(at, round, session);
        let newest = &mut self.rounds[round].newest;
        if newest.as_ref().is_none_or(|newest| newness(newest) <= newness(session)) {
            *newest = Some(session.clone());
        }
    }

    /// What holds in every snapshot, however old.
    fn whole(&mut self, server: &str, session: &Session) {
        let budget = session.budget.unwrap_or_default();
        let counts = session.counts.unwrap_or_default();
        let seen = || format!("{}, at {server}: {budget:?}, {counts:?}", session.name);
        let Budget { budget: most, issued, refunded, available, outstanding: _ } = budget;
        if most != self.budget {
            self.violated(Promise::Bound, "the session has another budget than was ordered", seen);
        }
        let spent = issued.checked_sub(refunded);
        if spent.is_none_or(|spent| spent > self.budget) {
            self.violated(Promise::Bound, "more permits were spent than the budget has", seen);
        }
        if spent.and_then(|spent| most.checked_sub(spent)) != Some(available) {
            self.violated(Promise::Bound, "permits don't add up", seen);
        }
        if counts.applied > self.budget {
            self.violated(Promise::Bound, "more requests were affected than the budget has", seen);
        } else if spent.is_some_and(|spent| counts.applied > spent) {
            self.violated(Promise::Bound, "more requests were affected than permits spent", seen);
        }
        if counts.chosen < outcomes(&counts) {
            self.violated(Promise::Reached, "more outcomes were counted than calls chosen", seen);
        }
        if session.state() == SessionState::LogDamaged {
            let why = || format!("{}, at {server}: {}", session.name, session.damage);
            self.violated(Promise::Log, "the log is damaged", why);
        }
    }

    /// What one replica shows never goes back, to one who asks after the answer before.
    fn since_last(&mut self, (sent, at): (At, At), round: usize, server: &str, session: &Session) {
        if session.replica.is_empty() {
            let why =
                "the coordinator doesn't say which replica answers; it is older than this drill";
            self.untested(Promise::Log, why);
            return;
        }
        let shown = &mut self.rounds[round].shown;
        let last = shown.entry(session.replica.clone()).or_insert_with(|| (at, session.clone()));
        if sent < last.0 {
            return;
        }
        let (_, before) = std::mem::replace(last, (at, session.clone()));
        let seen = || {
            let figures = |session: &Session| (session.revision, session.budget, session.counts);
            let (before, now) = (figures(&before), figures(session));
            format!(
                "{}, replica {} at {server}: {before:?}, then {now:?}",
                session.name, session.replica
            )
        };
        let (was, is) = (before.budget.unwrap_or_default(), session.budget.unwrap_or_default());
        if session.revision < before.revision {
            self.violated(Promise::Log, "a replica went back in the log", seen);
        }
        if is.issued < was.issued || is.refunded < was.refunded {
            self.violated(Promise::Bound, "permits that were spent or given back are gone", seen);
        }
        if went_back(&before.counts.unwrap_or_default(), &session.counts.unwrap_or_default()) {
            self.violated(Promise::Reached, "counts went back", seen);
        }
    }

    /// Replicas that read as far show the same permits and state. A halt stands elsewhere in the log: one may know it already.
    fn same_prefix(&mut self, round: usize, session: &Session) {
        let budget = session.budget.unwrap_or_default();
        let now = Ledger {
            issued: budget.issued,
            refunded: budget.refunded,
            state: session.state(),
            replica: session.replica.clone(),
        };
        let ledgers = &mut self.rounds[round].ledgers;
        let known = ledgers.entry(session.revision).or_insert_with(|| now.clone()).clone();
        let is_halt = [known.state, now.state].contains(&SessionState::Aborted);
        let same = (known.issued, known.refunded) == (now.issued, now.refunded)
            && (is_halt || known.state == now.state);
        if !same {
            self.violated(Promise::Log, "replicas tell differently of the same log", || {
                format!("{} at {}: {known:?}, {now:?}", session.name, session.revision)
            });
        }
    }

    /// Nothing is issued behind a proof, and a proof isn't taken back.
    fn behind_a_proof(&mut self, at: At, round: usize, server: &str, session: &Session) {
        let stage = session.stop.as_ref().map(|stop| stop.stage());
        let issued = session.budget.unwrap_or_default().issued;
        if stage != Some(StopStage::StoppedProven) {
            return;
        }
        let (_, then) = *self.rounds[round].proven.get_or_insert((at, issued));
        if issued > then {
            self.violated(Promise::Stop, "permits were issued after the stop was proven", || {
                format!("{}, at {server}: {then} when it was proven, then {issued}", session.name)
            });
        }
    }

    fn owned(&mut self, at: At, round: usize, session: &Session) {
        let is_out = session.evidence_outage.is_some();
        if is_out && !std::mem::replace(&mut self.rounds[round].is_out, is_out) {
            let what = format!("{}: evidence can't be read", session.name);
            self.sign(at, Sign::EvidenceOutage, what);
        }
        let owners = &mut self.rounds[round].owners;
        if session.owner.is_empty() || !owners.insert(session.owner.clone()) || owners.len() == 1 {
            return;
        }
        let what = format!("{} is now owned by {}", session.name, session.owner);
        self.sign(at, Sign::Takeover, what);
    }
}

/// Snapshots with more events, then with more evidence, are newer.
fn newness(session: &Session) -> (u64, u64) {
    let counts = session.counts.unwrap_or_default();
    (session.revision, counts.seen.saturating_add(outcomes(&counts)))
}

/// Chosen calls whose end is known.
pub(super) fn outcomes(counts: &Counts) -> u64 {
    let Counts { seen: _, chosen: _, applied, skipped, not_applicable } = counts;
    applied.saturating_add(*skipped).saturating_add(*not_applicable)
}

fn went_back(before: &Counts, now: &Counts) -> bool {
    let figures = |counts: &Counts| {
        let Counts { seen, chosen, applied, skipped, not_applicable } = *counts;
        [seen, chosen, applied, skipped, not_applicable]
    };
    figures(before).iter().zip(figures(now)).any(|(before, now)| now < *before)
}
