//! An agent without a runtime: it asks its shim at sites of its own, as a seam that somebody writes for a framework does.

use std::hash::{DefaultHasher, Hasher};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use squall_shim::Shim;
use squall_shim::core::{Act, Call, Directive, Ended, NotApplied, RequestKey, Site, rewrite};
use squall_shim::vocabulary::call::{Point, Shape};
use squall_shim::vocabulary::id::{AgentName, TraceId};
use squall_shim::vocabulary::seam::{Capabilities, Seam};

/// Calls of one task, which is a trace.
const CALLS_PER_TASK: u64 = 4;
const QUESTION: &str = r#"{"question": "What is known of this place, and since when?"}"#;
/// A tool's work: about ten microseconds.
const WORK_BYTES: usize = 16 * 1024;

/// See the module. Threads share it.
#[derive(Debug)]
pub(crate) struct Agent {
    sites: Option<Sites>,
    /// Told apart from other processes' by this.
    life: u64,
    numbers: AtomicU64,
    injected: AtomicU64,
}

#[derive(Debug)]
struct Sites {
    shim: Shim,
    agent: AgentName,
    steady: Arc<Site>,
    search: Arc<Site>,
}

impl Sites {
    fn of(shim: &Shim) -> Result<Self> {
        let agent = AgentName::new("planner")?;
        let (point, shape, capabilities) = (Point::Tool, Shape::Json, Capabilities::ALL);
        let seam = Seam { name: "linked".to_owned(), point, shape, capabilities };
        let steady = shim.site(&agent, &"steady".parse()?, &seam);
        let search = shim.site(&agent, &"search".parse()?, &seam);
        Ok(Self { shim: shim.clone(), agent, steady, search })
    }
}

impl Agent {
    /// An agent whose traces are those of `life`; a twin's without a shim.
    pub(crate) fn new(shim: Option<&Shim>, life: u64) -> Result<Self> {
        let sites = shim.map(Sites::of).transpose()?;
        Ok(Self { sites, life, numbers: AtomicU64::new(0), injected: AtomicU64::new(0) })
    }

    /// Calls made so far.
    pub(crate) fn calls(&self) -> u64 {
        self.numbers.load(Ordering::Relaxed)
    }

    /// Calls that a fault reached.
    pub(crate) fn injected(&self) -> u64 {
        self.injected.load(Ordering::Relaxed)
    }

    /// A call that nothing of note happens to; how long it took.
    pub(crate) fn steady(&self) -> Duration {
        let start = Instant::now();
        self.call(|sites| &sites.steady);
        start.elapsed()
    }

    /// A call that faults are for.
    pub(crate) fn search(&self) {
        self.call(|sites| &sites.search);
    }

    /// The agent's own answer.
    pub(crate) fn answer(&self) {
        let Some(Sites { shim, agent, .. }) = &self.sites else { return };
        let (request, trace) = self.next();
        let call = Call { request, trace: trace.as_ref() };
        let said = shim.answer_blocking(agent, &call, QUESTION.to_owned());
        self.injected.fetch_add(u64::from(said != QUESTION), Ordering::Relaxed);
    }

    fn next(&self) -> (RequestKey, Option<TraceId>) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let trace = format!("{:016x}{:016x}", self.life, number / CALLS_PER_TASK);
        (RequestKey::of_bytes(&number.to_le_bytes()), TraceId::new(trace).ok())
    }

    fn call(&self, site: impl Fn(&Sites) -> &Arc<Site>) {
        let (request, trace) = self.next();
        let call = Call { request, trace: trace.as_ref() };
        let Some(sites) = &self.sites else { return work() };
        let site = site(sites);
        let Some(mut directive) = sites.shim.decide_blocking(site, &call) else {
            work();
            return site.ended(&call, Ended::Ok);
        };
        let held = sites.shim.delay_blocking(&mut directive);
        let changed = change(&directive);
        work();
        site.ended(&call, if changed.is_ok() { Ended::FailedByInjection } else { Ended::Ok });
        match changed {
            Ok(()) => {
                directive.applied(&call, held);
                self.injected.fetch_add(1, Ordering::Relaxed);
            }
            Err(why) => directive.missed(&call, why, held),
        }
    }
}

/// Does what the fault says with the question or the answer.
fn change(directive: &Directive) -> Result<(), NotApplied> {
    let changed = match directive.act()? {
        Act::Proceed | Act::Fail(_) => return Ok(()),
        Act::RewriteInput(cut) => {
            rewrite::input(&cut, Point::Tool, Shape::Json, QUESTION.as_bytes())
        }
        Act::RewriteOutput(how) => {
            rewrite::output(&how, Point::Tool, Shape::Json, QUESTION.as_bytes())
        }
    };
    changed.map(drop)
}

/// What the tool does.
fn work() {
    let mut hasher = DefaultHasher::new();
    hasher.write(black_box(&[7; WORK_BYTES]));
    black_box(hasher.finish());
}
