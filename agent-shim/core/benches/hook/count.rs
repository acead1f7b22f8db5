//! Runs one case in a process of its own and counts what it costs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::{Command, ExitCode, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::cases;

/// First argument of a process that runs one case.
pub(crate) const CHILD: &str = "--case";

/// Iterations of the two runs whose difference is taken. The first run pays what is paid once.
const FEW: u64 = 1_000;
const MANY: u64 = 11_000;

/// What one iteration costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("callgrind could not be started (is valgrind installed?): {0}")]
    Callgrind(std::io::Error),
    #[error("this program could not start itself: {0}")]
    Child(std::io::Error),
    #[error("the case `{case}` ended with {status}: {said}")]
    Case { case: &'static str, status: std::process::ExitStatus, said: String },
    #[error("no `{wanted}` in what the case `{case}` said: {said}")]
    Silent { case: &'static str, wanted: &'static str, said: String },
}

/// Counts every allocation of the process.
struct Counting;

/// Only of what is measured.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Whether anything is measured at the moment.
pub(crate) static MEASURING: AtomicBool = AtomicBool::new(false);

// SAFETY: every method passes its arguments on to the system's allocator unchanged, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(u64::from(MEASURING.load(Ordering::Relaxed)), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// In a child: prepares the case, runs its loop, and says what that allocated and took.
pub(crate) fn run_case(name: &str, iterations: &str) -> ExitCode {
    let iterations: u64 = iterations.parse().unwrap_or(0);
    let Some(mut case) = cases::prepare(name) else {
        eprintln!("no case `{name}`");
        return ExitCode::FAILURE;
    };
    // What only a first call does (a thread's slot, a ring's memory) is not what a call costs.
    case.run(1_000);
    let time = case.run(iterations);
    println!("allocations {}", ALLOCATIONS.load(Ordering::Relaxed));
    println!("nanoseconds {}", time.as_nanos());
    ExitCode::SUCCESS
}

pub(crate) fn cost(case: &'static str) -> Result<Cost, Failed> {
    let (few, allocated_by_few) = instructions(case, FEW)?;
    let (many, allocated_by_many) = instructions(case, MANY)?;
    let iterations = number(MANY - FEW);
    Ok(Cost {
        instructions: (number(many) - number(few)) / iterations,
        allocations: (number(allocated_by_many) - number(allocated_by_few)) / iterations,
    })
}

pub(crate) fn nanoseconds(case: &'static str, iterations: u64) -> Result<f64, Failed> {
    let output = ran(case, child(iterations, case).output().map_err(Failed::Child)?)?;
    Ok(number(said(case, &output.stdout, "nanoseconds ")?) / number(iterations))
}

/// Instructions inside the measured loop, and allocations.
fn instructions(case: &'static str, iterations: u64) -> Result<(u64, u64), Failed> {
    let plain = child(iterations, case);
    let mut callgrind = Command::new("valgrind");
    callgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=*{}*", cases::MEASURED))
        .arg(plain.get_program())
        .args(plain.get_args());
    let output = ran(case, callgrind.output().map_err(Failed::Callgrind)?)?;
    let instructions = said(case, &output.stderr, "Collected : ")?;
    Ok((instructions, said(case, &output.stdout, "allocations ")?))
}

fn child(iterations: u64, case: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap_or_default());
    command.args([CHILD, case, &iterations.to_string()]);
    command
}

fn ran(case: &'static str, output: Output) -> Result<Output, Failed> {
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Failed::Case { case, status: output.status, said })
}

/// The number behind `wanted`.
fn said(case: &'static str, text: &[u8], wanted: &'static str) -> Result<u64, Failed> {
    let text = String::from_utf8_lossy(text);
    let digits = text.split(wanted).nth(1).and_then(|rest| rest.split_whitespace().next());
    let found = digits.and_then(|digits| digits.parse().ok());
    found.ok_or_else(|| Failed::Silent { case, wanted, said: text.into_owned() })
}

#[expect(clippy::cast_precision_loss, reason = "counts of a short run are far below 2^52")]
fn number(count: u64) -> f64 {
    count as f64
}
