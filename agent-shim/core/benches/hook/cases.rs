//! The cases: each is a registry in some state and a loop that asks one of its sites.

use std::arch::asm;
use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::{Delay, Fault, Latency};
use squall_proto::vocabulary::id::{AgentName, ExperimentName, Incarnation, ToolName, TraceId};
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_proto::vocabulary::session::Experiment;
use squall_proto::vocabulary::target::{Probability, Selector};
use squall_proto::vocabulary::time::{BootNanos, UnixMillis};
use squall_shim_core::{Call, Clock, Ended, Local, Policy, Registry, RequestKey, Site, Verdict};

use crate::count::MEASURING;

/// A case and its goal: instructions above the empty loop, and no allocation..
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) goal: Option<f64>,
}

const fn shown(name: &'static str) -> Case {
    Case { name, goal: None }
}

const fn held(name: &'static str, goal: f64) -> Case {
    Case { name, goal: Some(goal) }
}

/// What nanoseconds are compared with.
pub(crate) const YARDSTICK: &str = "fail_point!, unconfigured";

/// The empty loop comes first.
pub(crate) const CASES: &[Case] = &[
    shown("empty loop"),
    held("idle", 6.0),
    held("active, not targeted, 1 experiment", 6.0),
    held("active, not targeted, 10 experiments", 6.0),
    held("active, not targeted, 100 experiments", 6.0),
    held("not chosen, 1 rule", 40.0),
    shown("not chosen, 10 rules"),
    held("not chosen, 100 rules", 370.0),
    held("chosen", 150.0),
    shown("chosen, with its trace, and kept"),
    shown("chosen, applied and recorded"),
    shown("chosen, without a permit"),
    shown("the end of a call, no session"),
    shown("hash of a request id of 30 bytes"),
    shown(YARDSTICK),
    shown("fail_point!, 1%return"),
];

/// In the name of the function whose instructions are counted.
pub(crate) const MEASURED: &str = "measured";

/// Calls that are measured in one go: so many that beginning and ending is nothing beside them.
const BATCH: u64 = 1_000;
/// The same where calls leave something behind of which a process has few (pockets for traces).
const SMALL_BATCH: u64 = 200;

/// A case that is ready to run.
pub(crate) trait Run {
    /// Runs the loop and returns the time that it took.
    fn run(&mut self, iterations: u64) -> Duration;
}

struct Loop<E, A> {
    each: E,
    batch: u64,
    /// Cleans up behind a batch, outside of what is measured.
    after: A,
}

impl<E: FnMut(RequestKey), A: FnMut()> Run for Loop<E, A> {
    fn run(&mut self, iterations: u64) -> Duration {
        let mut time = Duration::ZERO;
        for _ in 0..iterations / self.batch {
            let start = Instant::now();
            MEASURING.store(true, Ordering::Relaxed);
            measured(self.batch, &mut self.each);
            MEASURING.store(false, Ordering::Relaxed);
            time += start.elapsed();
            (self.after)();
        }
        time
    }
}

#[inline(never)]
fn measured<F: FnMut(RequestKey)>(iterations: u64, each: &mut F) {
    let mut number = 0_u64;
    for _ in 0..iterations {
        number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        each(RequestKey { a: opaque(number) as u32, b: opaque(!number) as u32 });
    }
}

/// A number of which the compiler knows nothing any more. Unlike `black_box` it takes no instruction: the number stays in
/// its register.
#[inline(always)]
fn opaque(mut number: u64) -> u64 {
    // SAFETY: the template is a comment.
    unsafe {
        asm!("/* {0} */", inout(reg) number, options(nostack, preserves_flags));
    }
    number
}

/// What a call has at hand before it asks: its request and its site, in registers.
#[inline(always)]
fn at_hand(request: RequestKey, site: &Site) {
    // SAFETY: the template is a comment.
    unsafe {
        asm!(
            "/* {0} {1} {2} */",
            in(reg) u64::from(request.a),
            in(reg) u64::from(request.b),
            in(reg) site,
            options(nostack, preserves_flags)
        );
    }
}

fn case(each: impl FnMut(RequestKey) + 'static) -> Option<Box<dyn Run>> {
    Some(Box::new(Loop { each, batch: BATCH, after: || {} }))
}

pub(crate) fn prepare(name: &str) -> Option<Box<dyn Run>> {
    const RARELY: f64 = 1e-12;
    match name {
        "empty loop" => {
            let site = site(&idle());
            case(move |request| at_hand(request, site))
        }
        "idle" => asked(&idle(), false),
        "active, not targeted, 1 experiment" => asked(&process(1, "other", 1.0), false),
        "active, not targeted, 10 experiments" => asked(&process(10, "other", 1.0), false),
        "active, not targeted, 100 experiments" => asked(&process(100, "other", 1.0), false),
        "not chosen, 1 rule" => asked(&process(1, "search", RARELY), false),
        "not chosen, 10 rules" => asked(&process(10, "search", RARELY), false),
        "not chosen, 100 rules" => asked(&process(100, "search", RARELY), false),
        "chosen" => asked(&process(1, "search", 1.0), true),
        "chosen, with its trace, and kept" => chosen_with_trace(),
        "chosen, applied and recorded" => chosen_and_applied(),
        "chosen, without a permit" => {
            let process = process(1, "search", 1.0);
            process.sessions().iter().for_each(|live| _ = live.wallet().drain());
            asked(&process, false)
        }
        "the end of a call, no session" => {
            let site = site(&idle());
            let trace = trace();
            case(move |request| {
                let call = Call { request, trace: Some(&trace) };
                site.ended(&call, Ended::Ok);
            })
        }
        "hash of a request id of 30 bytes" => {
            case(|_| _ = black_box(RequestKey::of(black_box("toolu_01A09q90qw90lq917835lq9a"))))
        }
        YARDSTICK => case(fail_point),
        "fail_point!, 1%return" => {
            let configured = fail::cfg("hook", "1%return");
            configured.ok()?;
            case(fail_point)
        }
        _ => None,
    }
}

#[inline(always)]
fn fail_point(_request: RequestKey) {
    fail::fail_point!("hook", |_| ());
}

/// Asks the site `search` and nothing more. A directive is leaked: ending it is a case of its own.
fn asked(process: &Arc<Registry>, expected: bool) -> Option<Box<dyn Run>> {
    let site = site(process);
    case(move |request| {
        let call = Call { request, trace: None };
        match site.decide(&call) {
            Verdict::Pass => assert!(!expected),
            Verdict::Inject(directive) => {
                assert!(expected);
                std::mem::forget(directive);
            }
            Verdict::Claim(_) => unreachable!("the session is strict"),
        }
    })
}

/// Keeps the directives, which costs a few instructions, since each holds a place for its trace until it ends.
fn chosen_with_trace() -> Option<Box<dyn Run>> {
    let site = site(&process(1, "search", 1.0));
    let trace = trace();
    let held = Rc::new(RefCell::new(Vec::with_capacity(1_000)));
    let ended = Rc::clone(&held);
    let each = move |request| {
        let call = Call { request, trace: Some(&trace) };
        held.borrow_mut().push(site.decide(&call));
    };
    Some(Box::new(Loop { each, batch: SMALL_BATCH, after: move || ended.borrow_mut().clear() }))
}

fn chosen_and_applied() -> Option<Box<dyn Run>> {
    let process = process(1, "search", 1.0);
    let site = site(&process);
    let each = move |request| {
        let call = Call { request, trace: None };
        if let Verdict::Inject(directive) = site.decide(&call) {
            directive.applied(&call, Duration::ZERO);
        }
    };
    let after = move || drop(process.drain_samples(usize::MAX));
    Some(Box::new(Loop { each, batch: BATCH, after }))
}

/// A process with a session of so many experiments, each at the tool, and permits for a million calls.
fn process(experiments: usize, tool: &str, probability: f64) -> Arc<Registry> {
    let experiments = (0..experiments).map(|n| experiment(n, tool, probability)).collect();
    Arc::clone(Local::new(Arc::new(StillClock), experiments, 1_000_000, 1).registry())
}

/// A process without a session.
fn idle() -> Arc<Registry> {
    Registry::new(Arc::new(StillClock), Policy::off(), Incarnation([1; 16]))
}

/// Leaked: whoever asks has the site itself at hand, not a pointer to a pointer.
fn site(registry: &Arc<Registry>) -> &'static Site {
    let seam = Seam {
        name: String::from("bench"),
        point: Point::Tool,
        shape: Shape::Json,
        capabilities: Capabilities::ALL,
    };
    let agent = AgentName::new("planner").expect("it is a name");
    let other = ToolName::new("other").expect("it is a name");
    let tool = ToolName::new("search").expect("it is a name");
    registry.site(&agent, &other, &seam);
    Box::leak(Box::new(registry.site(&agent, &tool, &seam)))
}

fn trace() -> TraceId {
    TraceId::new("0af7651916cd43dd8448eb211c80319c").expect("it is a name")
}

fn experiment(number: usize, tool: &str, probability: f64) -> Experiment {
    let tools = vec![ToolName::new(tool).expect("it is a name")];
    Experiment {
        name: ExperimentName::new(format!("experiment {number}")).expect("it is a name"),
        fault: Fault::Latency(Latency { delay: Delay::Fixed { ms: 1 } }),
        probability: Probability::new(probability).expect("it is 0 to 1"),
        selector: Selector { agents: Vec::new(), tools },
    }
}

/// The price of a real clock is the system's (25 ns here), the same for whoever reads one.
#[derive(Debug)]
struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> BootNanos {
        BootNanos(black_box(1))
    }

    fn wall(&self) -> UnixMillis {
        UnixMillis(black_box(1))
    }
}
