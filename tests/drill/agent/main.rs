//! `drill-agent`: an agent that calls tools, and writes down what it felt of each call, by what it sent, what its tool
//! received and what came back. Nothing of that asks the shim.
//!
//! Its only argument is a JSON object with what it has to know ([`assignment::Assignment`]). SIGTERM ends it in good order.

#[path = "../src/assignment.rs"]
mod assignment;
mod diary;
mod tools;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process, set_parent_process_death_signal, waitpid,
};
use squall_shim::Shim;
use squall_shim::core::Policy;
use squall_shim::vocabulary::id::Environment;

use assignment::Assignment;
use diary::{Diary, now_ns};
use tools::Tools;

/// Calls of one trace.
const TRACE_CALLS: u64 = 16;
/// An agent that forks does so every so many calls.
const FORK_EVERY: u64 = 150;
/// Calls of a forked child before its host starts the shim again, and after that.
const CHILD_CALLS: [u64; 2] = [15, 150];

static ASKED_TO_END: AtomicBool = AtomicBool::new(false);

extern "C" fn ask_to_end(_: libc::c_int) {
    ASKED_TO_END.store(true, Ordering::Relaxed);
}

fn main() -> Result<()> {
    let text = std::env::args().nth(1).context("the assignment, a JSON object, is missing")?;
    let assignment: Assignment = serde_json::from_str(&text).context("read the assignment")?;
    let handler: extern "C" fn(libc::c_int) = ask_to_end;
    // SAFETY: the handler only stores to an atomic, which a signal handler may do.
    unsafe { libc::signal(libc::SIGTERM, handler as libc::sighandler_t) };
    let shim = shim(&assignment)?;
    let diary = Diary::open(&assignment, &shim, false)?;
    let mut child = None;
    let mut work = Work::new(&assignment, &shim, diary)?;
    for n in 1.. {
        if ASKED_TO_END.load(Ordering::Relaxed) {
            break;
        }
        work.call(n)?;
        child = child.filter(|child| !is_gone(*child));
        if assignment.forks && child.is_none() && n.is_multiple_of(FORK_EVERY) {
            child = fork(&assignment, &shim)?;
        }
    }
    if let Some(child) = child {
        // One that ended just now is not there to be told.
        let _ = kill_process(child, Signal::TERM);
        while !is_gone(child) {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
    shim.shut_down();
    work.diary.bye()
}

fn shim(assignment: &Assignment) -> Result<Shim> {
    let Assignment { tenant, agent, nats, journal, .. } = assignment;
    let mut builder = Shim::builder(tenant.parse()?, agent.parse()?)
        .policy(Policy::all(Environment::new("drill")?))
        .shared_account(true);
    for url in nats {
        builder = builder.nats(url.clone());
    }
    if let Some(journal) = journal {
        builder = builder.journal(Path::new(journal));
    }
    Ok(builder.start()?)
}

fn is_gone(child: Pid) -> bool {
    !matches!(waitpid(Some(child), WaitOptions::NOHANG), Ok(None))
}

/// A child that goes on with the same work: first without its shim, which has to be silent, then with one of its own.
fn fork(assignment: &Assignment, shim: &Shim) -> Result<Option<Pid>> {
    // SAFETY: this thread holds no lock, and the child uses nothing of the runtime or of other threads.
    match unsafe { libc::fork() } {
        0 => {
            let code = i32::from(child(assignment, shim).is_err());
            // SAFETY: the parent's destructors are not this process's to run.
            unsafe { libc::_exit(code) }
        }
        pid => Ok(Pid::from_raw(pid)),
    }
}

fn child(assignment: &Assignment, shim: &Shim) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut work = Work::new(assignment, shim, Diary::open(assignment, shim, true)?)?;
    for n in 1..=CHILD_CALLS[0] {
        work.call(n)?;
    }
    work.diary.bye()?;
    shim.after_fork()?;
    let mut work = Work::new(assignment, shim, Diary::open(assignment, shim, false)?)?;
    for n in 1..=CHILD_CALLS[1] {
        if ASKED_TO_END.load(Ordering::Relaxed) {
            break;
        }
        work.call(n)?;
    }
    shim.shut_down();
    work.diary.bye()
}

/// One life at work.
struct Work {
    tools: Tools,
    diary: Diary,
    pause: Duration,
    began_ns: u64,
}

impl Work {
    fn new(assignment: &Assignment, shim: &Shim, diary: Diary) -> Result<Self> {
        let tools = Tools::of(assignment, shim)?;
        let pause = Duration::from_millis(assignment.pause_ms);
        Ok(Self { tools, diary, pause, began_ns: now_ns() })
    }

    fn call(&mut self, n: u64) -> Result<()> {
        let pid = u64::from(std::process::id());
        let trace = format!("{:016x}{:08x}{:08x}", self.began_ns, pid, n / TRACE_CALLS + 1);
        let tool = self.tools.name(n);
        self.diary.begin(n, tool, &trace)?;
        let felt = self.tools.call(n, &trace);
        self.diary.end(n, felt)?;
        std::thread::park_timeout(self.pause);
        Ok(())
    }
}
