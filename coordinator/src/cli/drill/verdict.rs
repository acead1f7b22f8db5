//! What came of a drill, for people and for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::Cell;
use serde::Serialize;
use squall_proto::wire::v1::Session;

use super::judge::{Judge, Promise, Reach, Sign};
use crate::cli::moment::words;
use crate::cli::screen::Look;
use crate::cli::table::{Mark, fields, lines, marked, number, table};
use crate::cli::words::{count, state};

/// Whether a promise held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Judgement {
    /// It was tested, and nothing broke it.
    Held,
    /// Nothing broke it, and something of it was not tested.
    Inconclusive,
    /// It was broken.
    Violated,
}

/// The verdict, with what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Verdict {
    /// Name of the drill: its sessions' begin with it.
    drill: String,
    /// The worst of the promises.
    pub(super) verdict: Judgement,
    promises: Vec<Judged>,
    /// How often something was disturbed, by what showed it.
    signs: BTreeMap<Sign, u64>,
    /// The first signs.
    disturbances: Vec<Told>,
    /// How the given command ended, each time.
    commands: Vec<Told>,
    sessions: Vec<Line>,
    shims: Shims,
    remarks: Vec<String>,
    /// What may still run or be engaged; empty as a rule.
    pub(super) left: Vec<String>,
}

/// One promise.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Judged {
    promise: Promise,
    verdict: Judgement,
    violations: Vec<Broken>,
    untested: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Broken {
    what: &'static str,
    first: String,
    times: u64,
}

/// Something, and when since the drill began.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Told {
    at_ms: u64,
    what: String,
}

/// One session of the drill.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Line {
    session: String,
    state: String,
    budget: u64,
    issued: u64,
    refunded: u64,
    applied: u64,
    owners: usize,
    signs: u64,
    acknowledged_ms: Option<u64>,
    proven_ms: Option<u64>,
    proven_by: Option<&'static str>,
    holders: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Shims {
    connected: usize,
    lives: usize,
    #[serde(flatten)]
    reach: Reach,
}

impl Verdict {
    /// The verdict of a judge who has settled everything.
    pub(super) fn of(judge: &Judge, drill: &str, left: Vec<String>) -> Self {
        let promises: Vec<Judged> = Promise::ALL.iter().map(|one| judged(judge, *one)).collect();
        let verdict =
            promises.iter().map(|judged| judged.verdict).max().unwrap_or(Judgement::Inconclusive);
        let told =
            |(at, what): &(Duration, String)| Told { at_ms: millis(*at), what: what.clone() };
        let reach = judge.reach();
        let shims = Shims { connected: judge.shims_most, lives: judge.lives(), reach };
        Self {
            drill: drill.to_owned(),
            verdict,
            promises,
            signs: judge.signs.clone(),
            disturbances: judge
                .told
                .iter()
                .map(|(at, _, what)| Told { at_ms: millis(*at), what: what.clone() })
                .collect(),
            commands: judge.disturbed.iter().map(told).collect(),
            sessions: (0..judge.rounds.len()).map(|round| line(judge, round)).collect(),
            shims,
            remarks: judge.remarks.iter().cloned().collect(),
            left,
        }
    }

    /// For people; the verdict is the last line.
    pub(super) fn draw(&self, look: Look) -> String {
        let parts = [
            self.sessions(look),
            self.figures(look),
            self.told(),
            self.promises(look),
            format!("{}\n", self.last(look)),
        ];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// The verdict in one line.
    pub(super) fn sentence(&self) -> String {
        let of = |held: Judgement| self.promises.iter().filter(|one| one.verdict == held).count();
        match self.verdict {
            Judgement::Held => "all promises held".to_owned(),
            Judgement::Inconclusive => {
                format!(
                    "inconclusive: nothing was broken; {} not tested whole",
                    count(of(Judgement::Inconclusive), "promise")
                )
            }
            Judgement::Violated => {
                format!("VIOLATED: {}", count(of(Judgement::Violated), "promise"))
            }
        }
    }

    fn last(&self, look: Look) -> String {
        paint(look, self.verdict, &self.sentence())
    }

    fn sessions(&self, look: Look) -> String {
        let headings = [
            "session",
            "state",
            "issued",
            "given back",
            "applied",
            "owners",
            "disturbed",
            "stop acknowledged",
            "proven",
        ];
        let mut table = table(look, &headings);
        for line in &self.sessions {
            let took =
                |millis: Option<u64>| millis.map(|millis| words(Duration::from_millis(millis)));
            let proven = match (took(line.proven_ms), line.proven_by) {
                (Some(took), Some(by)) => format!(
                    "{took}, by {by} ({})",
                    count(usize::try_from(line.holders).unwrap_or(usize::MAX), "holder")
                ),
                _ => String::new(),
            };
            table.add_row([
                Cell::new(&line.session),
                Cell::new(&line.state),
                number(line.issued),
                number(line.refunded),
                Cell::new(format!("{} of {}", line.applied, line.budget)),
                number(line.owners as u64),
                number(line.signs),
                Cell::new(took(line.acknowledged_ms).unwrap_or_default()),
                Cell::new(proven),
            ]);
        }
        if table.is_empty() { String::new() } else { lines(&table) }
    }

    fn figures(&self, look: Look) -> String {
        let Shims { connected, lives, reach } = &self.shims;
        let Reach {
            seen,
            chosen,
            applied,
            skipped,
            not_applicable,
            unreported,
            holders,
            witnesses,
        } = reach;
        let signs: Vec<String> =
            self.signs.iter().map(|(sign, times)| format!("{} {times}", told(*sign))).collect();
        let signs = if signs.is_empty() { "none seen".to_owned() } else { signs.join(", ") };
        let commands = match self.commands.as_slice() {
            [] => String::new(),
            [.., last] => {
                format!("{}, the last one {}", count(self.commands.len(), "time"), last.what)
            }
        };
        fields(
            look,
            &[
                ("drill", self.drill.clone()),
                (
                    "shims",
                    format!(
                        "{connected} at most at a time, {lives} lives; {holders} got permits, {witnesses} showed a fault in a sample"
                    ),
                ),
                (
                    "calls",
                    format!(
                        "seen {seen}, chosen {chosen}, applied {applied}, skipped {skipped}, not applicable {not_applicable}"
                    ),
                ),
                (
                    "unreported",
                    if *unreported == 0 {
                        String::new()
                    } else {
                        count(usize::try_from(*unreported).unwrap_or(usize::MAX), "permit")
                    },
                ),
                ("disturbances", signs),
                ("--disturb", commands),
            ],
        )
    }

    fn told(&self) -> String {
        let at = |told: &Told| {
            format!("{:>9}  {}\n", words(Duration::from_millis(told.at_ms)), told.what)
        };
        let signs: String = self.disturbances.iter().map(at).collect();
        let remarks: String = self.remarks.iter().map(|remark| format!("- {remark}\n")).collect();
        let left: String =
            self.left.iter().map(|left| format!("- LEFT BEHIND: {left}\n")).collect();
        format!("{signs}{remarks}{left}")
    }

    fn promises(&self, look: Look) -> String {
        let mut table = table(look, &["promise", "verdict"]);
        for judged in &self.promises {
            let (word, mark) = match judged.verdict {
                Judgement::Held => ("held", Mark::Good),
                Judgement::Inconclusive => ("inconclusive", Mark::Pending),
                Judgement::Violated => ("VIOLATED", Mark::Bad),
            };
            table.add_row([Cell::new(sentence(judged.promise)), marked(word, mark)]);
        }
        let why: String = self.promises.iter().map(Judged::why).collect();
        format!("{}{}{why}", lines(&table), if why.is_empty() { "" } else { "\n" })
    }
}

impl Judged {
    fn why(&self) -> String {
        let name = name(self.promise);
        let broken = self.violations.iter().map(|Broken { what, first, times }| {
            format!(
                "- {name}: {what} ({}); first {first}\n",
                count(usize::try_from(*times).unwrap_or(usize::MAX), "time")
            )
        });
        let untested = self.untested.iter().map(|why| format!("- {name}, not tested: {why}\n"));
        broken.chain(untested).collect()
    }
}

fn judged(judge: &Judge, promise: Promise) -> Judged {
    let violations: Vec<Broken> = judge
        .violations
        .iter()
        .filter(|((of, _), _)| *of == promise)
        .map(|((_, what), broken)| Broken {
            what,
            first: broken.first.clone(),
            times: broken.times,
        })
        .collect();
    let untested = judge.untested.iter().filter(|(of, _)| *of == promise);
    let untested: Vec<String> = untested.map(|(_, why)| why.clone()).collect();
    let verdict = match (violations.is_empty(), untested.is_empty()) {
        (false, _) => Judgement::Violated,
        (true, false) => Judgement::Inconclusive,
        (true, true) => Judgement::Held,
    };
    Judged { promise, verdict, violations, untested }
}

fn line(judge: &Judge, round: usize) -> Line {
    let stopped = judge.stopped(round);
    let round = &judge.rounds[round];
    let session = round.newest.clone().unwrap_or_default();
    let Session { budget, counts, stop, .. } = session.clone();
    let (budget, stop) = (budget.unwrap_or_default(), stop.unwrap_or_default());
    Line {
        session: round.name.rsplit('/').next().unwrap_or_default().to_owned(),
        state: state(session.state).to_owned(),
        budget: budget.budget,
        issued: budget.issued,
        refunded: budget.refunded,
        applied: counts.unwrap_or_default().applied,
        owners: round.owners.len(),
        signs: round.signs,
        acknowledged_ms: stopped.map(|stopped| millis(stopped.acknowledged)),
        proven_ms: stopped.and_then(|stopped| stopped.proven).map(millis),
        proven_by: proven_by(stop.proven_by()),
        holders: stop.holder_count,
    }
}

const fn proven_by(by: squall_proto::wire::v1::ProvenBy) -> Option<&'static str> {
    match by {
        squall_proto::wire::v1::ProvenBy::Unspecified => None,
        squall_proto::wire::v1::ProvenBy::Confirmations => Some("confirmations"),
        squall_proto::wire::v1::ProvenBy::Time => Some("time"),
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

fn paint(look: Look, held: Judgement, text: &str) -> String {
    match held {
        Judgement::Held => look.paint.good(text),
        Judgement::Inconclusive => look.paint.pending(text),
        Judgement::Violated => look.paint.bad(text),
    }
}

const fn name(promise: Promise) -> &'static str {
    match promise {
        Promise::Bound => "bound",
        Promise::Stop => "stop",
        Promise::Reached => "reached",
        Promise::Log => "log",
    }
}

const fn sentence(promise: Promise) -> &'static str {
    match promise {
        Promise::Bound => "bound: the budget is a hard bound",
        Promise::Stop => "stop: stop means stop, and is proven",
        Promise::Reached => "reached: a counted fault reached the agent, as its shim reports",
        Promise::Log => "log: what was acknowledged is kept, once, and all replicas tell the same",
    }
}

const fn told(sign: Sign) -> &'static str {
    match sign {
        Sign::CoordinatorLost => "coordinator lost",
        Sign::ReplicaChanged => "another replica answered",
        Sign::Takeover => "takeover",
        Sign::CommandRepeated => "command repeated",
        Sign::ShimLost => "shim lost",
        Sign::EvidenceOutage => "evidence out",
    }
}

#[cfg(test)]
mod tests;
