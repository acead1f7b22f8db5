//! The verdict for people.

use std::fmt::Display;

use comfy_table::{Cell, CellAlignment, Table, presets};

use crate::verdict::{Row, Verdict};

/// What the words in the tables mean. Those of agents are the ones of report.json.
const LEGEND: &str = "\
seen            calls that an experiment's target matches, counted by each experiment
chosen          seen calls that the draw picked: each is applied, skipped, or not applicable
applied         the fault reached the agent
skipped         no permit was in hand: the call passed unchanged
not applicable  a permit was in hand, but the fault could not be applied to this call
fragile         agents with one try, no time-out and no second way
hardened        agents with retries, time-outs, a second way, and a look at each result
degraded        rounds of work that ended with something second best
failed          rounds of work that were given up";

/// The verdict as tables and sentences.
pub(crate) fn text(verdict: &Verdict) -> String {
    let Verdict { budget, applied, referee_applied, overshoot, .. } = verdict;
    let abort = &verdict.abort;
    let mut lines = vec![
        String::new(),
        rows("experiment", &verdict.by_experiment).to_string(),
        rows("tenant", &verdict.by_tenant).to_string(),
        work(verdict).to_string(),
        LEGEND.to_owned(),
        String::new(),
        format!(
            "affected calls     {applied} by Squall, {referee_applied} by the referee, {budget} allowed, {overshoot} too many"
        ),
        format!(
            "referee            looked at {} calls and answers; an untouched call took {} ms to its server at most",
            verdict.referee.looked_at, verdict.referee.longest_noise_ms
        ),
        format!("coordinator        killed, back and whole after {} ms", verdict.recovered_ms),
        format!(
            "abort              {} confirmed within {}, {} out of contact, {} held nothing; proven after {} ({})",
            abort.confirmed,
            milliseconds(abort.accepted_to_last_inert_ms),
            abort.out_of_contact,
            abort.held_nothing,
            milliseconds(abort.accepted_to_proven_ms),
            abort.proven_by,
        ),
        format!("running delays     {} cut short by the abort", abort.delays_cut),
        format!("after the stop     {} calls affected", abort.injections_after_inert),
        format!("time               {} s after the build", verdict.took_ms / 1000),
        String::new(),
    ];
    if verdict.broken.is_empty() {
        lines.push("All promises were kept.".to_owned());
    }
    lines.extend(verdict.broken.iter().map(|broken| format!("BROKEN: {broken}")));
    lines.join("\n")
}

fn rows<'a>(what: &str, rows: impl IntoIterator<Item = (&'a String, &'a Row)>) -> Table {
    let mut table = table(&[what, "seen", "chosen", "applied", "skipped", "not applicable"]);
    for (name, row) in rows {
        let Row { seen, chosen, applied, skipped, not_applicable } = row;
        table.add_row(cells(name, [seen, chosen, applied, skipped, not_applicable]));
    }
    table
}

fn work(verdict: &Verdict) -> Table {
    let mut table = table(&["agents", "good", "degraded", "failed"]);
    for (temper, work) in &verdict.agents {
        let name = format!("{temper:?}").to_lowercase();
        table.add_row(cells(&name, [&work.good, &work.degraded, &work.failed]));
    }
    table
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header.iter().copied());
    table
}

fn cells<const N: usize>(name: &str, numbers: [&u64; N]) -> Vec<Cell> {
    let right = |number: &dyn Display| Cell::new(number).set_alignment(CellAlignment::Right);
    std::iter::once(Cell::new(name)).chain(numbers.iter().map(|n| right(n))).collect()
}

fn milliseconds(ms: Option<u64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"))
}
