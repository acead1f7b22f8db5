//! Permits and counters, drawn. What each counter means stands in `proto/squall/v1/evidence.proto`.

use comfy_table::Cell;
use squall_proto::wire::v1::{
    AgentCounts, Budget, Counts, ExperimentCounts, TenantCounts, TraceCounts,
};

use super::screen::Look;
use super::table::{fields, lines, number, table};

const HEADINGS: [&str; 5] = ["seen", "chosen", "applied", "skipped", "not applicable"];

/// Permits, in one line.
pub(super) fn permits(budget: Option<&Budget>) -> String {
    let Some(Budget { budget, issued, refunded, available, outstanding }) = budget else {
        return String::new();
    };
    format!(
        "{budget} in all: {available} available, {issued} issued, {refunded} given back, {outstanding} in use"
    )
}

/// What the headings mean; empty without tables.
pub(super) fn legend(tables: &[&str]) -> String {
    if tables.iter().all(|table| table.is_empty()) {
        return String::new();
    }
    "seen: calls that match the target, for each experiment; chosen: drawn from them;\n\
     skipped: chosen, but no permit was in hand: passed unchanged;\n\
     not applicable: chosen, but the fault did not fit the call\n"
        .to_owned()
}

/// Calls that were seen. Every experiment counts its own, so that a sum counts a call several times.
pub(super) fn seen(calls: u64, experiments: usize) -> String {
    if experiments > 1 {
        format!("seen {calls} by {experiments} experiments")
    } else {
        format!("seen {calls}")
    }
}

/// Counters, in one line.
pub(super) fn totals(counts: Option<&Counts>, experiments: usize) -> String {
    let Counts { seen, chosen, applied, skipped, not_applicable } =
        counts.copied().unwrap_or_default();
    let seen = self::seen(seen, experiments);
    format!(
        "{seen}, chosen {chosen}, applied {applied}, skipped {skipped}, not applicable {not_applicable}"
    )
}

/// Counters of experiments.
pub(super) fn experiments(rows: &[ExperimentCounts], look: Look) -> String {
    counted(look, "experiment", rows.iter().map(|row| (row.experiment.clone(), row.counts)))
}

/// Counters of tenants; nothing where there is only one.
pub(super) fn tenants(rows: &[TenantCounts], look: Look) -> String {
    if rows.len() < 2 {
        return String::new();
    }
    counted(look, "tenant", rows.iter().map(|row| (row.tenant.clone(), row.counts)))
}

/// Counters of agents, and of all others together, where there are too many to name.
pub(super) fn agents(rows: &[AgentCounts], others: u64, sum: Option<Counts>, look: Look) -> String {
    let named = rows.iter().map(|row| (format!("{}/{}", row.tenant, row.agent), row.counts));
    let rest = (others > 0).then(|| (format!("and {others} more"), sum));
    counted(look, "agent", named.chain(rest))
}

/// How traces ended; nothing where none did.
pub(super) fn traces(traces: Option<&TraceCounts>, look: Look) -> String {
    let TraceCounts { failed_downstream, failed_background, succeeded } =
        traces.copied().unwrap_or_default();
    if failed_downstream + failed_background + succeeded == 0 {
        return String::new();
    }
    let ended = format!(
        "{succeeded} well, {failed_downstream} failed after a fault, {failed_background} failed without one"
    );
    fields(look, &[("traces", ended)])
}

fn counted(look: Look, name: &str, rows: impl Iterator<Item = (String, Option<Counts>)>) -> String {
    let headings: Vec<&str> = [name].into_iter().chain(HEADINGS).collect();
    let mut table = table(look, &headings);
    for (name, counts) in rows {
        let Counts { seen, chosen, applied, skipped, not_applicable } = counts.unwrap_or_default();
        let numbers = [seen, chosen, applied, skipped, not_applicable].map(number);
        table.add_row([Cell::new(name)].into_iter().chain(numbers));
    }
    if table.is_empty() { String::new() } else { lines(&table) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_that_are_not_named_are_one_line() {
        let row = AgentCounts { agent: "planner".to_owned(), ..AgentCounts::default() };
        let sum = Counts { applied: 44, ..Counts::default() };
        let rows = [row];
        let drawn = |others| agents(&rows, others, Some(sum), Look::PLAIN);
        assert!(!drawn(0).contains("more"));
        assert!(drawn(44).lines().last().is_some_and(|line| line.starts_with("and 44 more")));
    }
}
