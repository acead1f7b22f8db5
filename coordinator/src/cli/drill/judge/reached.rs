//! What shims reported: whether it adds up, and what it says of faults that reached agents.

use std::collections::BTreeSet;

use squall_proto::wire::v1::timeline_sample::What;
use squall_proto::wire::v1::{Counts, Losses, Report};

use super::account::Account;
use super::snapshot::outcomes;
use super::{Judge, Promise};
use crate::cli::moment::length;

/// What all rounds together say of the shims.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(in crate::cli::drill) struct Reach {
    /// Calls by what became of them, over all sessions.
    pub(in crate::cli::drill) seen: u64,
    /// Drawn from them.
    pub(in crate::cli::drill) chosen: u64,
    /// Changed.
    pub(in crate::cli::drill) applied: u64,
    /// Without a permit.
    pub(in crate::cli::drill) skipped: u64,
    /// That did not fit.
    pub(in crate::cli::drill) not_applicable: u64,
    /// Permits that were spent and that nobody reported on.
    pub(in crate::cli::drill) unreported: u64,
    /// Processes that were given permits.
    pub(in crate::cli::drill) holders: usize,
    /// Processes that showed a fault in a sample.
    pub(in crate::cli::drill) witnesses: usize,
}

impl Judge {
    /// The coordinator at `server` reports on this round. To be called once everything has ended.
    pub(in crate::cli::drill) fn report(&mut self, round: usize, server: &str, report: Report) {
        let name = self.rounds[round].name.clone();
        let sums = [
            ("experiments", sum(report.experiments.iter().map(|row| row.counts))),
            ("tenants", sum(report.tenants.iter().map(|row| row.counts))),
            (
                "agents",
                sum(report.agents.iter().map(|row| row.counts).chain([report.other_agents])),
            ),
        ];
        let total = report.session.as_ref().and_then(|session| session.counts).unwrap_or_default();
        for (what, sum) in sums.into_iter().filter(|(_, sum)| *sum != total) {
            self.violated(Promise::Reached, "sums of a report don't add up", || {
                format!("{name}, at {server}: {what} make {sum:?}, in all it is {total:?}")
            });
        }
        if report.overshoot > 0 {
            self.violated(Promise::Bound, "a shim reported more than its permits", || {
                let told = report.bounds.iter().find(|bound| bound.contains("NOT KEPT"));
                format!(
                    "{name}, at {server}: overshoot {}; {}",
                    report.overshoot,
                    told.map_or("", |told| told)
                )
            });
        }
        self.held(&name, &report);
        let known = self.rounds[round].report.as_ref();
        if known.is_none_or(|known| weight(known) <= weight(&report)) {
            self.rounds[round].report = Some(report);
        }
    }

    /// A latency that was applied held its call.
    fn held(&mut self, name: &str, report: &Report) {
        let vain = report.samples.iter().find(|sample| match &sample.what {
            Some(What::Applied(held)) => length(Some(held)).is_none_or(|held| held.is_zero()),
            Some(What::NotApplied(_) | What::Failed(_)) | None => false,
        });
        if let Some(sample) = vain {
            self.violated(
                Promise::Reached,
                "a fault was counted that held its call for no time",
                || {
                    format!(
                        "{name}: injection {} of {}/{}",
                        sample.injection, sample.tenant, sample.shim
                    )
                },
            );
        }
    }

    /// What a coordinator could not take in.
    pub(in crate::cli::drill) fn losses(&mut self, before: &Losses, now: &Losses) {
        if now.rows_refused > before.rows_refused {
            let why = "counts may be too low: rows of counters were refused (`squall fleet`)";
            self.untested(Promise::Reached, why);
        }
        if now.samples_lost > before.samples_lost {
            self.remark(
                "shims lost samples: not every fault was looked at, though each was counted",
            );
        }
    }

    /// Everything that the rounds say of shims together.
    pub(in crate::cli::drill) fn reach(&self) -> Reach {
        let mut reach = Reach::default();
        let (mut holders, mut witnesses) = (BTreeSet::new(), BTreeSet::new());
        for round in &self.rounds {
            let session = round.newest.clone().unwrap_or_default();
            let Counts { seen, chosen, applied, skipped, not_applicable } =
                session.counts.unwrap_or_default();
            let budget = session.budget.unwrap_or_default();
            let spent = budget.issued.saturating_sub(budget.refunded);
            reach.seen += seen;
            reach.chosen += chosen;
            reach.applied += applied;
            reach.skipped += skipped;
            reach.not_applicable += not_applicable;
            reach.unreported += spent.saturating_sub(applied + not_applicable);
            let account = Account::of(&round.log, self.budget);
            holders.extend(account.holders().into_iter().map(str::to_owned));
            let samples = round.report.iter().flat_map(|report| &report.samples);
            witnesses.extend(samples.map(|sample| (sample.tenant.clone(), sample.shim.clone())));
        }
        Reach { holders: holders.len(), witnesses: witnesses.len(), ..reach }
    }

    /// Notes chosen calls whose end nobody told, and whether any fault reached an agent.
    pub(in crate::cli::drill) fn settle_reach(&mut self) {
        let reach = self.reach();
        let told = reach.applied + reach.skipped + reach.not_applicable;
        if let open @ 1.. = reach.chosen.saturating_sub(told) {
            self.remark(format!(
                "{open} chosen calls have no end in any report: processes that ended meanwhile, or reports that were lost"
            ));
        }
        if reach.unreported > 0 {
            let count = reach.unreported;
            self.remark(format!(
                "{count} permits were spent and nobody reported on them: they stay spent"
            ));
        }
        if reach.applied == 0 {
            let why = "no fault reached an agent: see that agents work (--agent, --tool), or raise --probability";
            self.untested(Promise::Reached, why);
        }
    }
}

fn weight(report: &Report) -> (u64, u64) {
    let session = report.session.clone().unwrap_or_default();
    (session.revision, outcomes(&session.counts.unwrap_or_default()))
}

fn sum(rows: impl Iterator<Item = Option<Counts>>) -> Counts {
    rows.flatten().fold(Counts::default(), |sum, row| Counts {
        seen: sum.seen + row.seen,
        chosen: sum.chosen + row.chosen,
        applied: sum.applied + row.applied,
        skipped: sum.skipped + row.skipped,
        not_applicable: sum.not_applicable + row.not_applicable,
    })
}
