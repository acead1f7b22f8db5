//! What the hook costs an agent's call, in instructions, allocations and nanoseconds.
//!
//! Instructions are counted by callgrind, which must be installed (Debian: `valgrind`): this program runs itself under it
//! twice for each case, with collection on in the measured loop alone, and divides the difference of both counts by the
//! difference of their iterations. That is exactly repeatable, so the goals are set on it and a missed one fails the run.
//! Nanoseconds are medians of interleaved rounds and shown for comparison only.
//!
//! Results: a table, and `target/bench/hook.json`.

mod cases;
mod count;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cases::{CASES, Case};
use count::{Cost, Failed};

/// Rounds of timing; each runs every case once.
const ROUNDS: usize = 15;
/// Iterations of one timed run: a few milliseconds each, and fewer than the faults that a wallet counts as running at once
/// (directives of the plain case are leaked).
const TIMED: u64 = 30_000;

struct Row {
    case: &'static Case,
    cost: Cost,
    /// Above the empty loop.
    instructions: f64,
    nanoseconds: f64,
}

impl Row {
    /// By how many instructions the goal is missed.
    fn missed_by(&self) -> Option<f64> {
        let over = self.instructions - self.case.goal?;
        (over > 0.0).then_some(over)
    }

    fn allocates_too_much(&self) -> bool {
        self.case.goal.is_some() && self.cost.allocations > 0.0
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, case, iterations] = arguments.as_slice()
        && mode == count::CHILD
    {
        return count::run_case(case, iterations);
    }
    match rows() {
        Ok(rows) => report(&rows),
        Err(error) => {
            eprintln!("failed to measure the hook: {error}");
            ExitCode::FAILURE
        }
    }
}

fn rows() -> Result<Vec<Row>, Failed> {
    let mut costs = Vec::new();
    for case in CASES {
        costs.push(count::cost(case.name)?);
    }
    let mut rounds = vec![Vec::new(); CASES.len()];
    for _ in 0..ROUNDS {
        for (case, times) in CASES.iter().zip(&mut rounds) {
            times.push(count::nanoseconds(case.name, TIMED)?);
        }
    }
    let (empty, empty_nanoseconds) = (costs[0].instructions, median(&mut rounds[0].clone()));
    let rows = CASES.iter().zip(costs).zip(&mut rounds).map(|((case, cost), times)| Row {
        case,
        cost,
        // A tenth is less than beginning and ending a batch costs each of its calls.
        instructions: ((cost.instructions - empty) * 10.0).round() / 10.0,
        nanoseconds: median(times) - empty_nanoseconds,
    });
    Ok(rows.collect())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn report(rows: &[Row]) -> ExitCode {
    println!(
        "above the empty loop{:33} instructions   goal  allocations       ns  to fail_point!",
        ""
    );
    let yardstick = rows.iter().find(|row| row.case.name == cases::YARDSTICK);
    for row in rows {
        let goal = row.case.goal.map_or(String::new(), |goal| format!("<= {goal}"));
        let ratio = yardstick.map_or(f64::NAN, |other| row.nanoseconds / other.nanoseconds);
        println!(
            "{:52} {:13.1} {:>6} {:12.2} {:8.2} {:13.2}x",
            row.case.name, row.instructions, goal, row.cost.allocations, row.nanoseconds, ratio
        );
    }
    let mut missed = 0;
    for row in rows {
        if let Some(over) = row.missed_by() {
            println!("MISSED by {over:.1} instructions: {}", row.case.name);
            missed += 1;
        }
        if row.allocates_too_much() {
            println!("MISSED by {:.2} allocations: {}", row.cost.allocations, row.case.name);
            missed += 1;
        }
    }
    if let Err(error) = write_json(rows) {
        eprintln!("failed to write the results: {error}");
        return ExitCode::FAILURE;
    }
    if missed == 0 {
        println!("all goals met");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn write_json(rows: &[Row]) -> std::io::Result<()> {
    let rows: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "case": row.case.name,
                "instructions": row.instructions,
                "goal": row.case.goal,
                "missed_by": row.missed_by(),
                "allocations": row.cost.allocations,
                "nanoseconds": row.nanoseconds,
            })
        })
        .collect();
    let folder = target().join("bench");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("hook.json");
    std::fs::write(&path, format!("{:#}\n", serde_json::Value::from(rows)))?;
    println!("written to {}", path.display());
    Ok(())
}

/// Cargo's target folder: it names the folder for temporary files inside it.
fn target() -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().unwrap_or(temporary).to_owned()
}
