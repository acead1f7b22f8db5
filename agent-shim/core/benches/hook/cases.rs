//! The cases: each is a registry in some state and a loop that asks one of its sites.

use std::arch::asm;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use squall_proto::vocabulary::blast_radius::{BlastRadius, Safety, Strictness};
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::{Delay, Fault, Latency};
use squall_proto::vocabulary::id::{
    AgentName, Environment, ExperimentName, Incarnation, SessionId, SessionKey, TenantId, ToolName,
    TraceId,
};
use squall_proto::vocabulary::message::GrantScope;
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_proto::vocabulary::session::{Experiment, SessionSpec};
use squall_proto::vocabulary::target::{PercentageUnit, Probability, Selector, Target};
use squall_proto::vocabulary::time::{BootNanos, UnixMillis};
use squall_shim_core::{
    ActiveSession, Call, Clock, Ended, Policy, Registry, RequestKey, Site, Verdict,
};

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
    shown("chosen, with its trace"),
    shown("chosen, applied, recorded and drained"),
    shown("chosen, without a permit"),
    shown("the end of a call, no session"),
    shown("hash of a request id of 30 bytes"),
    shown(YARDSTICK),
    shown("fail_point!, 1%return"),
];

/// In the name of the function whose instructions are counted.
pub(crate) const MEASURED: &str = "measured";

/// A case that is ready to run.
pub(crate) trait Run {
    /// Runs the loop.
    fn run(&mut self, iterations: u64);
}

struct Loop<F>(F);

impl<F: FnMut(RequestKey)> Run for Loop<F> {
    fn run(&mut self, iterations: u64) {
        measured(iterations, &mut self.0);
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
    Some(Box::new(Loop(each)))
}

pub(crate) fn prepare(name: &str) -> Option<Box<dyn Run>> {
    const RARELY: f64 = 1e-12;
    match name {
        "empty loop" => {
            let site = site(&process(0, "search", 1.0));
            case(move |request| at_hand(request, site))
        }
        "idle" => asked(&process(0, "search", 1.0), false),
        "active, not targeted, 1 experiment" => asked(&process(1, "other", 1.0), false),
        "active, not targeted, 10 experiments" => asked(&process(10, "other", 1.0), false),
        "active, not targeted, 100 experiments" => asked(&process(100, "other", 1.0), false),
        "not chosen, 1 rule" => asked(&process(1, "search", RARELY), false),
        "not chosen, 10 rules" => asked(&process(10, "search", RARELY), false),
        "not chosen, 100 rules" => asked(&process(100, "search", RARELY), false),
        "chosen" => asked(&process(1, "search", 1.0), true),
        "chosen, with its trace" => chosen_with_trace(),
        "chosen, applied, recorded and drained" => chosen_and_applied(),
        "chosen, without a permit" => {
            let process = process(1, "search", 1.0);
            process.sessions().iter().for_each(|live| _ = live.wallet().drain());
            asked(&process, false)
        }
        "the end of a call, no session" => {
            let site = site(&process(0, "search", 1.0));
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

fn chosen_with_trace() -> Option<Box<dyn Run>> {
    let site = site(&process(1, "search", 1.0));
    let trace = trace();
    case(move |request| {
        let call = Call { request, trace: Some(&trace) };
        if let Verdict::Inject(directive) = site.decide(&call) {
            std::mem::forget(directive);
        }
    })
}

fn chosen_and_applied() -> Option<Box<dyn Run>> {
    let process = process(1, "search", 1.0);
    let site = site(&process);
    let mut since = 0;
    case(move |request| {
        let call = Call { request, trace: None };
        if let Verdict::Inject(directive) = site.decide(&call) {
            directive.applied(&call, Duration::ZERO);
        }
        since += 1;
        if since == 500 {
            since = 0;
            process.drain_samples(usize::MAX);
        }
    })
}

/// A process with a session of so many experiments, each at the tool, and permits for a million calls.
fn process(experiments: usize, tool: &str, probability: f64) -> Arc<Registry> {
    let environment = Environment::new("bench").expect("`bench` is a token");
    let registry =
        Registry::new(Arc::new(StillClock), Policy::all(environment), Incarnation([1; 16]));
    registry.lease().extend(BootNanos(u64::MAX));
    if experiments > 0 {
        let experiments = (0..experiments).map(|n| experiment(n, tool, probability)).collect();
        let session = SessionId::new("bench").expect("`bench` is a token");
        let tenant = TenantId::new("bench").expect("`bench` is a token");
        registry.install(&[ActiveSession {
            key: SessionKey { tenant, session },
            spec: Arc::new(spec(experiments)),
            seed: 1,
            running: true,
        }]);
    }
    for live in registry.sessions() {
        let never = BootNanos(u64::MAX);
        let granted = live.wallet().install(1, 1_000_000, GrantScope::default(), never, never);
        granted.expect("the wallet is empty");
    }
    registry
}

/// Leaked: whoever asks has the site itself at hand, not a pointer to a pointer.
fn site(registry: &Arc<Registry>) -> &'static Site {
    let seam = Seam {
        name: String::from("bench"),
        point: Point::Tool,
        shape: Shape::Json,
        capabilities: Capabilities {
            block: true,
            rewrite_in: true,
            rewrite_out: true,
            disconnect: true,
            structural: true,
            max_delay_ms: 60_000,
            knows_trace: true,
            stable_request_id: true,
        },
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

fn spec(experiments: Vec<Experiment>) -> SessionSpec {
    SessionSpec {
        title: String::new(),
        experiments,
        target: Target {
            selector: Selector::default(),
            tenants: Vec::new(),
            percentage: Probability::ONE,
            percentage_unit: PercentageUnit::Request,
            environments: Vec::new(),
        },
        safety: Safety {
            blast_radius: BlastRadius::SingleTenant,
            max_affected_requests: 1_000_000,
            max_per_tenant: BTreeMap::new(),
            max_per_agent: None,
            max_per_trace: None,
            max_outstanding: 1_000,
            max_duration: Duration::from_secs(3_600),
            max_concurrent: None,
            max_rate: None,
            strictness: Strictness::Strict,
            cascade_threshold: None,
            auto_abort_on_cascade: false,
            accept_lazy_log: false,
        },
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
