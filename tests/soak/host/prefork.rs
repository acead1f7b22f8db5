//! A parent that forks workers, replaces those that end, and makes calls on a thread of its own meanwhile, so that forks come
//! in the middle of everything that a shim does.

mod worker;

use std::io;
use std::sync::atomic::Ordering;
use std::thread::{self, park_timeout};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};
use squall_shim::Shim;
use squall_soak::said::{Gone, Part, Said, say};

use crate::blocking::Agent;
use crate::{Setting, end_of_input, state};

/// Workers before the parent has a shim. Later their like are forked from a parent that has one.
const EARLY: [Part; 2] = [Part::Own, Part::OwnWithJournal];
const LATE: [Part; 3] = [Part::Again, Part::Again, Part::Silent];
/// How long a worker lives, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 800..5_000;
/// Of so many workers one is killed in its life.
const ONE_CUT_IN: u32 = 4;
/// A worker that is not gone so long after its life was over hangs: everything that it may wait for takes a second.
const GRACE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Looks between two lines on how the parent is doing.
const LOOKS_PER_LINE: u32 = 100;
/// Between two calls of the parent's own thread.
const BREATH: Duration = Duration::from_micros(200);

/// Runs the host.
pub(crate) fn run(setting: &Setting) -> Result<()> {
    let mut parent = Parent::new(setting);
    for part in EARLY {
        parent.fork(part)?;
    }
    parent.shim = setting.shim("prefork", true)?;
    let agent = Agent::new(parent.shim.as_ref(), setting.seed)?;
    let end = end_of_input();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !end.load(Ordering::Acquire) {
                agent.steady();
                agent.search();
                park_timeout(BREATH);
            }
        });
        let worked = parent.work(LATE, &agent, || end.load(Ordering::Acquire));
        // Also when it failed: the thread has to end.
        end.store(true, Ordering::Release);
        worked
    })?;
    if let Some(shim) = &parent.shim {
        shim.shut_down();
    }
    parent.tell(&agent)
}

struct Parent<'a> {
    setting: &'a Setting,
    shim: Option<Shim>,
    choices: StdRng,
    workers: Vec<Forked>,
}

struct Forked {
    pid: Pid,
    part: Part,
    /// Dead by then, as it was meant.
    cut_at: Option<Instant>,
    hangs_from: Instant,
}

impl<'a> Parent<'a> {
    fn new(setting: &'a Setting) -> Self {
        let choices = StdRng::seed_from_u64(setting.seed);
        Self { setting, shim: None, choices, workers: Vec::new() }
    }

    /// Forks and replaces workers until the end, and then waits for those that are left.
    fn work<const N: usize>(
        &mut self,
        late: [Part; N],
        agent: &Agent,
        ends: impl Fn() -> bool,
    ) -> Result<()> {
        for part in late {
            self.fork(part)?;
        }
        for look in 1_u32.. {
            park_timeout(LOOK_EVERY);
            for part in self.reap()? {
                if !ends() {
                    self.fork(part)?;
                }
            }
            if look.is_multiple_of(LOOKS_PER_LINE) {
                self.tell(agent)?;
            }
            if ends() && self.workers.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn tell(&self, agent: &Agent) -> Result<()> {
        let state = state(self.shim.as_ref(), agent.calls(), agent.injected());
        Ok(say(&Said::State(state))?)
    }

    fn fork(&mut self, part: Part) -> Result<()> {
        let (life_ms, seed) = (self.choices.random_range(LIFE_MS), self.choices.random());
        let life = Duration::from_millis(life_ms);
        let cut = self.choices.random_ratio(1, ONE_CUT_IN);
        let cut_after = life.mul_f64(self.choices.random());
        // SAFETY: the child calls `live` alone and leaves by `_exit`, without the destructors of its parent.
        let pid = match unsafe { libc::fork() } {
            0 => {
                let lived = worker::live(self.setting, part, self.shim.as_ref(), life, seed);
                let code = match lived {
                    Ok(()) => 0,
                    Err(error) => {
                        eprintln!("soak-host: a worker failed: {error:#}");
                        1
                    }
                };
                unsafe { libc::_exit(code) }
            }
            pid => pid,
        };
        let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 0) else {
            bail!("fork a worker: {}", io::Error::last_os_error());
        };
        let now = Instant::now();
        let (cut_at, hangs_from) = (cut.then_some(now + cut_after), now + life + GRACE);
        self.workers.push(Forked { pid, part, cut_at, hangs_from });
        Ok(())
    }

    /// The parts of those that are gone.
    fn reap(&mut self) -> Result<Vec<Part>> {
        let now = Instant::now();
        let mut gone = Vec::new();
        for forked in std::mem::take(&mut self.workers) {
            let Some(wrong) = forked.end(now)? else {
                self.workers.push(forked);
                continue;
            };
            gone.push(forked.part);
            say(&Said::Gone(Gone { part: forked.part, wrong }))?;
        }
        Ok(gone)
    }
}

impl Forked {
    /// `None` while it lives, else what was wrong with its end.
    fn end(&self, now: Instant) -> Result<Option<Option<String>>> {
        if now >= self.hangs_from {
            let place = format!("/proc/{}/wchan", self.pid.as_raw_nonzero());
            let place = std::fs::read_to_string(place).unwrap_or_default();
            kill_process(self.pid, Signal::KILL)?;
            waitpid(Some(self.pid), WaitOptions::empty())?;
            return Ok(Some(Some(format!("it hangs in {place}"))));
        }
        let cut = self.cut_at.is_some_and(|at| now >= at);
        if cut {
            // It may be gone, and is there as long as nobody waited for it.
            kill_process(self.pid, Signal::KILL)?;
        }
        let options = if cut { WaitOptions::empty() } else { WaitOptions::NOHANG };
        let Some((_, status)) = waitpid(Some(self.pid), options)? else { return Ok(None) };
        let as_meant = status.exit_status() == Some(0)
            || (cut && status.terminating_signal() == Some(Signal::KILL.as_raw()));
        Ok(Some((!as_meant).then(|| ended(status))))
    }
}

fn ended(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("it ended with {code}"),
        (None, Some(signal)) => format!("it died of signal {signal}"),
        (None, None) => format!("it ended with {status:?}"),
    }
}
