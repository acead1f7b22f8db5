//! Which plan the shim has: a level with a version, kept right by deltas, beats and whole plans (docs/protocol.md, shim rule 9).
//!
//! Lower versions are ignored, a gap is noticed, pages are put together. What the sessions in it mean is not known here.

use std::collections::VecDeque;

use squall_proto::vocabulary::id::{LogId, SessionKey};
use squall_proto::vocabulary::plan::{Ending, Plan, PlanSession, PlanVersion};

/// Most deltas kept while a whole plan is awaited; a shim that hears more asks again.
const EARLY_MAX: usize = 64;
/// Most pages of a whole plan: 16 MiB of `PLAN_BYTES_MAX` each, far more live sessions than a process can serve.
const PAGES_MAX: u32 = 64;

/// What to do with the sessions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// Replaces everything; otherwise only names what changed.
    pub(super) whole: bool,
    pub(super) sequence: u64,
    pub(super) live: Vec<PlanSession>,
    pub(super) ended: Vec<(SessionKey, Ending)>,
}

/// What a message about the plan leads to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Old, or not for now.
    Nothing,
    /// Another log: everything known is void.
    NewLog(LogId),
    /// Something is missing: sync after a while.
    Gap,
    /// The next page is wanted.
    Page(u32),
    /// The answer does not help: sync again.
    Again,
    /// The sessions change.
    Apply(Change),
}

#[derive(Clone, Debug)]
struct Pages {
    version: PlanVersion,
    pages: u32,
    live: Vec<PlanSession>,
    ended: Vec<(SessionKey, Ending)>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions {
    log: Option<LogId>,
    known: Option<u64>,
    /// The newest version that anybody spoke of.
    heard: u64,
    pages: Option<Pages>,
    early: VecDeque<Plan>,
}

impl Versions {
    /// Starts with a log and nothing of it.
    pub(super) fn of_log(log: LogId) -> Self {
        Self { log: Some(log), ..Self::default() }
    }

    pub(super) fn log(&self) -> Option<&LogId> {
        self.log.as_ref()
    }

    /// The plan that is in force.
    pub(super) fn version(&self) -> Option<PlanVersion> {
        Some(PlanVersion { log: self.log.clone()?, sequence: self.known? })
    }

    /// Whether a newer plan than the one in force was spoken of.
    pub(super) fn is_behind(&self) -> bool {
        self.known.is_none_or(|known| known < self.heard)
    }

    /// Whether the plan in force covers `stop_version` (docs/protocol.md, coordinator rule 6).
    pub(super) fn covers(&mut self, stop_version: u64) -> bool {
        self.heard = self.heard.max(stop_version);
        self.known.is_some_and(|known| known >= stop_version)
    }

    /// Whether a newer plan of this log than the one in force is meant. Another log makes everything void by its beats and plans.
    pub(super) fn lacks(&self, version: &PlanVersion) -> bool {
        self.log.as_ref() == Some(&version.log)
            && self.known.is_none_or(|known| known < version.sequence)
    }

    /// A beat.
    pub(super) fn beat(&mut self, version: PlanVersion) -> Step {
        match &self.log {
            None => return Step::Nothing,
            Some(log) if *log != version.log => return Step::NewLog(version.log),
            Some(_) => {}
        }
        self.heard = self.heard.max(version.sequence);
        if self.is_behind() { Step::Gap } else { Step::Nothing }
    }

    /// A plan that was broadcast.
    pub(super) fn broadcast(&mut self, plan: Plan) -> Step {
        match &self.log {
            None => return Step::Nothing,
            Some(log) if *log != plan.version.log => return Step::NewLog(plan.version.log),
            Some(_) => {}
        }
        let sequence = plan.version.sequence;
        self.heard = self.heard.max(sequence);
        if self.known.is_some_and(|known| sequence <= known) {
            return Step::Nothing;
        }
        match (plan.previous, self.known) {
            // What changed since an older version than ours includes what changed since ours.
            (Some(previous), Some(known)) if previous <= known => Step::Apply(self.take(plan)),
            _ => {
                self.keep(plan);
                Step::Gap
            }
        }
    }

    /// Keeps a delta that came early, once however often it comes: repetitions must not push out the others.
    fn keep(&mut self, plan: Plan) {
        let same = |kept: &Plan| kept.version == plan.version && kept.previous == plan.previous;
        if self.early.iter().any(same) {
            return;
        }
        if self.early.len() >= EARLY_MAX {
            self.early.pop_front();
        }
        self.early.push_back(plan);
    }

    /// A delta that came early and fits now.
    pub(super) fn next_early(&mut self) -> Option<Change> {
        let known = self.known?;
        self.early.retain(|plan| plan.version.sequence > known);
        let fits =
            self.early.iter().position(|plan| plan.previous.is_some_and(|from| from <= known))?;
        let plan = self.early.remove(fits)?;
        Some(self.take(plan))
    }

    /// A page of a whole plan, the answer to a Sync for page `asked`.
    pub(super) fn page(&mut self, asked: u32, plan: Plan) -> Step {
        match &self.log {
            None => return Step::Again,
            Some(log) if *log != plan.version.log => return Step::NewLog(plan.version.log),
            Some(_) => {}
        }
        let fits = plan.previous.is_none()
            && plan.page == asked
            && plan.page < plan.pages
            && plan.pages <= PAGES_MAX;
        let old = self.known.is_some_and(|known| plan.version.sequence < known);
        if !fits || old {
            self.pages = None;
            return Step::Again;
        }
        self.heard = self.heard.max(plan.version.sequence);
        let mut pages = match self.pages.take() {
            Some(pages)
                if asked > 0 && pages.version == plan.version && pages.pages == plan.pages =>
            {
                pages
            }
            _ if asked == 0 => Pages {
                version: plan.version,
                pages: plan.pages,
                live: Vec::new(),
                ended: Vec::new(),
            },
            _ => return Step::Again,
        };
        pages.live.extend(plan.live);
        pages.ended.extend(plan.ended);
        if asked + 1 < pages.pages {
            self.pages = Some(pages);
            return Step::Page(asked + 1);
        }
        self.known = Some(pages.version.sequence);
        Step::Apply(Change {
            whole: true,
            sequence: pages.version.sequence,
            live: pages.live,
            ended: pages.ended,
        })
    }

    fn take(&mut self, plan: Plan) -> Change {
        self.known = Some(plan.version.sequence);
        Change { whole: false, sequence: plan.version.sequence, live: plan.live, ended: plan.ended }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str) -> LogId {
        LogId::new(name).unwrap()
    }

    fn plan(sequence: u64, previous: Option<u64>, page: u32, pages: u32) -> Plan {
        let version = PlanVersion { log: log("a"), sequence };
        Plan { version, previous, page, pages, live: vec![], ended: vec![] }
    }

    fn known(versions: &Versions) -> Option<u64> {
        versions.version().map(|version| version.sequence)
    }

    fn synced(sequence: u64) -> Versions {
        let mut versions = Versions::of_log(log("a"));
        assert!(matches!(versions.page(0, plan(sequence, None, 0, 1)), Step::Apply(_)));
        versions
    }

    #[test]
    fn a_delta_that_builds_on_ours_applies_and_a_lower_one_is_ignored() {
        let mut versions = synced(5);
        assert!(matches!(versions.broadcast(plan(7, Some(5), 0, 1)), Step::Apply(_)));
        assert_eq!(versions.broadcast(plan(7, Some(5), 0, 1)), Step::Nothing);
        assert_eq!(versions.broadcast(plan(6, Some(5), 0, 1)), Step::Nothing);
        assert_eq!(known(&versions), Some(7));
    }

    #[test]
    fn a_delta_from_further_back_holds_all_that_is_missing() {
        let mut versions = synced(5);
        assert!(matches!(versions.broadcast(plan(9, Some(3), 0, 1)), Step::Apply(_)));
        assert_eq!(known(&versions), Some(9));
    }

    #[test]
    fn a_gap_is_closed_by_a_whole_plan_and_the_deltas_kept_meanwhile() {
        let mut versions = synced(5);
        assert_eq!(versions.broadcast(plan(9, Some(7), 0, 1)), Step::Gap);
        assert_eq!(versions.broadcast(plan(11, Some(9), 0, 1)), Step::Gap);
        assert!(versions.is_behind());
        assert!(matches!(versions.page(0, plan(7, None, 0, 1)), Step::Apply(_)));
        assert_eq!(versions.next_early().unwrap().sequence, 9);
        assert_eq!(versions.next_early().unwrap().sequence, 11);
        assert_eq!(versions.next_early(), None);
        assert!(!versions.is_behind());
    }

    #[test]
    fn a_beat_ahead_is_a_gap_and_another_log_voids_everything() {
        let mut versions = synced(5);
        let beat = |name: &str, sequence| PlanVersion { log: log(name), sequence };
        assert_eq!(versions.beat(beat("a", 5)), Step::Nothing);
        assert_eq!(versions.beat(beat("a", 6)), Step::Gap);
        assert_eq!(versions.beat(beat("b", 1)), Step::NewLog(log("b")));
    }

    #[test]
    fn pages_of_one_version_come_together_and_a_change_in_between_starts_over() {
        let mut versions = synced(5);
        assert_eq!(versions.page(0, plan(8, None, 0, 2)), Step::Page(1));
        assert_eq!(versions.page(1, plan(9, None, 1, 2)), Step::Again);
        assert_eq!(versions.page(0, plan(9, None, 0, 2)), Step::Page(1));
        assert!(matches!(versions.page(1, plan(9, None, 1, 2)), Step::Apply(_)));
        assert_eq!(known(&versions), Some(9));
    }

    #[test]
    fn a_whole_plan_of_a_lagging_replica_is_not_installed() {
        let mut versions = synced(5);
        assert_eq!(versions.page(0, plan(4, None, 0, 1)), Step::Again);
        assert_eq!(known(&versions), Some(5));
    }

    #[test]
    fn an_equal_whole_plan_is_installed_since_it_may_hold_other_sessions() {
        let mut versions = synced(5);
        assert!(matches!(versions.page(0, plan(5, None, 0, 1)), Step::Apply(_)));
    }

    #[test]
    fn deltas_kept_early_are_bounded() {
        let mut versions = synced(1);
        for sequence in 0..1000 {
            versions.broadcast(plan(100 + sequence, Some(99 + sequence), 0, 1));
        }
        assert_eq!(versions.early.len(), EARLY_MAX);
    }

    #[test]
    fn an_early_delta_that_comes_again_and_again_pushes_no_other_out() {
        let mut versions = synced(10);
        versions.broadcast(plan(12, Some(11), 0, 1));
        for _ in 0..=EARLY_MAX {
            versions.broadcast(plan(14, Some(13), 0, 1));
        }
        versions.page(0, plan(11, None, 0, 1));
        assert_eq!(versions.next_early().map(|change| change.sequence), Some(12));
    }

    #[test]
    fn a_stop_that_the_plan_lacks_is_not_covered_and_leaves_it_behind() {
        let mut versions = synced(5);
        assert!(versions.covers(5));
        assert!(!versions.is_behind());
        assert!(!versions.covers(6));
        assert!(versions.is_behind());
    }
}
