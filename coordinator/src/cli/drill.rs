//! `squall drill`: a small proof of Squall's promises on a deployment of one's own, while it is disturbed.
//!
//! A client of the API like any other: what it says rests on what every coordinator answers, and on nothing that a coordinator
//! says of itself in words. Not here: the proof on the code itself (docs/proof.md).

mod disturb;
mod finish;
mod halt;
mod judge;
mod line;
mod round;
mod verdict;
mod watch;

use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use squall_proto::vocabulary::id::{AgentName, Environment, TenantId, ToolName};
use squall_proto::vocabulary::violation::Check;
use squall_proto::wire::v1::{
    DelaySpec, ExperimentSpec, FaultSpec, SafetySpec, SessionSpec, TargetSpec,
};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use self::finish::finish;
use self::judge::{Judge, Promise};
use self::line::{Lines, Server};
use self::round::{Ended, Purpose};
use super::Global;
use super::client::Client;
use super::failure::{COMMAND_LINE, Exit, Failure};
use super::interrupt::interrupted;
use super::progress::Progress;
use super::screen::Screen;
use super::{moment, name};

/// Most sessions of one drill: each stays in the log for 30 days.
const ROUNDS_MAX: usize = 50;
/// Sessions that every drill has: one that is stopped, one that comes to its last permit if it can.
const ROUNDS_MIN: usize = 2;
/// A session gets a quarter of the drill's time, and this at least: a pause alone takes longer than a lease.
const SLICE_MIN: Duration = Duration::from_secs(10);
/// What a session may take beyond the drill's time, with its start and its pause: then it ends by itself.
const OVER: Duration = Duration::from_secs(300);
/// How long the drill's command is waited for at the end: it may be what heals what it cut.
const DISTURBANCE_ENDS_WITHIN: Duration = Duration::from_secs(120);
/// How long `--for` may be.
const TIME: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(3600);
/// How long a fault of a drill may be: longer ones are not harmless.
const LATENCY: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(100);

/// Tries Squall's promises on a deployment of yours, while it is disturbed
///
/// Runs sessions one after another whose only fault is a latency of a millisecond, while you disturb the deployment, or
/// --disturb does. Watches them through every coordinator that is named, and judges from outside: that the budget is a hard
/// bound, that a stop means stop and is proven, that what is counted adds up, and that what was acknowledged is in the log,
/// once, the same everywhere. One session is aborted while permits are in hands and something is disturbed; one is paused,
/// resumed, and runs to its last permit; then again, until the time is over.
///
/// It needs agents of the tenant that work meanwhile. Agents in production take part only if --environment names it. Sessions
/// that a drill made are aborted at its end, also after Ctrl-C, and end by themselves if it is killed.
///
/// Exit code 0: all promises held, and each was tested. 1: one was broken. 5: nothing was broken, but something was not tested; what,
/// and what to do about it, is said. 4: no coordinator answers. With --output json the verdict is one object; its numbers are
/// numbers, lengths of time in milliseconds. What the command says goes to stderr.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall drill --tenant acme --agent planner                   # and disturb it yourself: kill a replica, cut a link
  squall drill --tenant acme --for 2m --disturb 'kubectl rollout restart deploy/squall' --every 40s
  squall drill --tenant acme --server 127.0.0.1:7070 --also 127.0.0.1:7071,127.0.0.1:7072 --output json | jq .verdict
  squall drill --tenant acme --halt                            # also halts everybody of acme for some seconds

What a drill can't see: whether a call was really late (it asks the shims; the agents' own records would tell), what became
of a process that was suspended, and anything of a coordinator that is not named.")]
pub(super) struct Args {
    /// Further coordinators of the same deployment, beside --server: each is watched
    #[arg(long, value_name = "URL,...", value_delimiter = ',')]
    also: Vec<String>,
    /// Only calls of this agent; again for several
    #[arg(long, value_name = "NAME")]
    agent: Vec<String>,
    /// Only calls of this tool; again for several
    #[arg(long, value_name = "NAME")]
    tool: Vec<String>,
    /// Only agents of this environment; again for several; default: all but `production`
    #[arg(long, value_name = "NAME")]
    environment: Vec<String>,
    /// How long to drill, 5s to 1h; what is under way then is brought to its end
    #[arg(long = "for", value_name = "TIME", value_parser = moment::parse, default_value = "60s")]
    time: Duration,
    /// Affected calls of each session at most, 1 to 10000: small enough to be used up, or the bound is not tested
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    budget: u32,
    /// Share of the matching calls that is chosen, above 0 and up to 1; the budget is what keeps a drill small
    #[arg(long, default_value_t = 1.0)]
    probability: f64,
    /// How much later an affected call is, 1ms to 100ms
    #[arg(long, value_name = "TIME", value_parser = moment::parse, default_value = "1ms")]
    latency: Duration,
    /// A command for the shell that disturbs the deployment, run once while the first session runs; it is never killed
    #[arg(long, value_name = "COMMAND")]
    disturb: Option<String>,
    /// Runs that command again and again, so far apart
    #[arg(long, value_name = "TIME", value_parser = moment::parse, requires = "disturb")]
    every: Option<Duration>,
    /// Also halts the tenant, with every session that it has, and releases it again
    #[arg(long)]
    halt: bool,
    /// How long to wait for shims that can take part
    #[arg(long, value_name = "TIME", value_parser = moment::parse, default_value = "15s")]
    wait_for_shims: Duration,
    /// Accepts a log that does not write through to disk; a bound that holds then may not survive a loss of power
    #[arg(long)]
    accept_lazy_log: bool,
}

/// A drill under way.
#[derive(Debug)]
struct Drill {
    id: String,
    tenant: TenantId,
    spec: SessionSpec,
    lines: Lines,
    judge: Mutex<Judge>,
    began: Instant,
    time: Duration,
    wait_for_shims: Duration,
    screen: Screen,
    /// The first session runs.
    started: Notify,
    may_be_halted: AtomicBool,
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let drill = Arc::new(self.drill(global)?);
        drill.is_there().await?;
        let watching = watch::watch(&drill);
        let progress = Progress::start(format!("drilling {} as {}", drill.tenant, drill.id));
        let drilled = tokio::select! {
            drilled = self.whole(&drill) => drilled,
            () = interrupted() => {
                let why = "the drill was interrupted";
                Promise::ALL.iter().for_each(|promise| drill.judge().untested(*promise, why));
                drill.note("interrupted: aborting what runs; Ctrl-C again leaves it");
                Ok(())
            }
        };
        progress.tell("bringing it to its end");
        let left = tokio::select! {
            left = drill.end() => left,
            () = interrupted() => return Err(drill.left()),
        };
        drop((watching, progress));
        drilled?;
        finish(&drill, left)
    }

    /// All rounds, while the command runs.
    async fn whole(&self, drill: &Drill) -> Result<(), Failure> {
        let until = drill.began + drill.time;
        let disturbed = async {
            drill.started.notified().await;
            match &self.disturb {
                Some(command) => disturb::disturb(drill, command, self.every, until).await,
                None => drill.note("disturb it now: kill a replica, cut a link, restart a server"),
            }
        };
        let (mut disturbed, mut rounds) = (pin!(disturbed), pin!(self.rounds(drill, until)));
        tokio::select! {
            ended = &mut rounds => {
                let Ended::Done = ended? else { return Ok(()) };
                if timeout(DISTURBANCE_ENDS_WITHIN, disturbed).await.is_err() {
                    drill.judge().remark("the command that disturbs still ran at the end");
                }
            }
            () = &mut disturbed => {
                rounds.await?;
            }
        }
        Ok(())
    }

    async fn rounds(&self, drill: &Drill, until: Instant) -> Result<Ended, Failure> {
        let slice = (drill.time / 4).max(SLICE_MIN);
        for number in 0..ROUNDS_MAX {
            if number >= ROUNDS_MIN && Instant::now() >= until {
                break;
            }
            let purpose = if number % 2 == 0 { Purpose::Stop } else { Purpose::Bound };
            if let Ended::NotStarted = drill.round(purpose, slice).await? {
                return Ok(Ended::NotStarted);
            }
        }
        if self.halt {
            self.halted(drill, slice).await?;
        }
        sleep_until(until).await;
        Ok(Ended::Done)
    }

    async fn halted(&self, drill: &Drill, slice: Duration) -> Result<(), Failure> {
        if let Some(why) = drill.halted_already().await? {
            drill.judge().untested(Promise::Stop, format!("a halt is engaged already: {why}"));
            return Ok(());
        }
        drill.round(Purpose::Halt, slice).await?;
        // What can't be released now is tried again at the end.
        drill.release().await;
        Ok(())
    }

    fn drill(&self, global: &Global) -> Result<Drill, Failure> {
        let tenant = match global.tenant() {
            Some(tenant) if tenant != TenantId::EVERY => name::tenant(tenant)?,
            Some(_) | None => {
                return Err(Failure::argument("--tenant", "is missing: a drill is one tenant's")
                    .next("add --tenant TENANT, or set SQUALL_TENANT"));
            }
        };
        self.check()?;
        let mut servers = vec![Server { url: global.server.clone(), client: global.client()? }];
        for url in &self.also {
            servers.push(Server { url: url.clone(), client: Client::named("--also", url)? });
        }
        Ok(Drill {
            id: format!("drill-{}", &Uuid::new_v4().simple().to_string()[..8]),
            tenant,
            spec: self.spec(),
            lines: Lines::new(servers),
            judge: Mutex::new(self.judge()),
            began: Instant::now(),
            time: self.time,
            wait_for_shims: self.wait_for_shims,
            screen: global.screen(),
            started: Notify::new(),
            may_be_halted: AtomicBool::new(false),
        })
    }

    fn judge(&self) -> Judge {
        let mut judge = Judge::new(self.budget.into());
        if self.accept_lazy_log {
            judge.remark(
                "a log that does not write through was accepted: a loss of power is not covered",
            );
        }
        judge
    }

    /// Everything that is wrong with the options is named at once.
    fn check(&self) -> Result<(), Failure> {
        let mut check = Check::new();
        let mut within = |name: &str, is_so: bool, allowed: &str| {
            check.field(name, |check| {
                if !is_so {
                    check.wrong(format!("is not allowed; allowed is {allowed}"))
                }
            })
        };
        within("--for", TIME.contains(&self.time), "5s to 1h");
        within("--latency", LATENCY.contains(&self.latency), "1ms to 100ms");
        within(
            "--probability",
            self.probability > 0.0 && self.probability <= 1.0,
            "above 0 and up to 1",
        );
        for agent in &self.agent {
            check.field("--agent", |check| check.value(AgentName::new(agent.as_str())));
        }
        for tool in &self.tool {
            check.field("--tool", |check| check.value(ToolName::new(tool.as_str())));
        }
        for environment in &self.environment {
            check.field("--environment", |check| {
                check.value(Environment::new(environment.as_str()))
            });
        }
        check.finish(Some(())).map_err(|violations| Failure::bad(COMMAND_LINE, violations))
    }

    /// A session whose faults are harmless.
    fn spec(&self) -> SessionSpec {
        let fixed_ms = u64::try_from(self.latency.as_millis()).ok();
        let latency = DelaySpec { fixed_ms, ..DelaySpec::default() };
        let experiment = ExperimentSpec {
            name: Some("drill".to_owned()),
            fault: Some(FaultSpec { latency: Some(latency), ..FaultSpec::default() }),
            probability: Some(self.probability),
            agents: Vec::new(),
            tools: Vec::new(),
        };
        SessionSpec {
            title: "squall drill: do the promises hold here?".to_owned(),
            experiments: vec![experiment],
            target: Some(TargetSpec {
                agents: self.agent.clone(),
                tools: self.tool.clone(),
                environments: self.environment.clone(),
                ..TargetSpec::default()
            }),
            safety: Some(SafetySpec {
                max_affected_requests: Some(self.budget),
                max_duration_s: Some((self.time + OVER).as_secs()),
                accept_lazy_log: self.accept_lazy_log.then_some(true),
                ..SafetySpec::default()
            }),
        }
    }
}

impl Drill {
    /// Time since it began.
    fn at(&self) -> Duration {
        self.began.elapsed()
    }

    fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, text: &str) {
        self.screen.note(&format!("{:>9}  {text}", moment::words(self.at())));
    }

    fn parent(&self) -> String {
        format!("tenants/{}", self.tenant)
    }

    fn session_id(&self, number: usize) -> String {
        format!("{}-{number}", self.id)
    }

    fn session_name(&self, number: usize) -> String {
        format!("{}/sessions/{}", self.parent(), self.session_id(number))
    }

    fn reason(&self) -> String {
        format!("squall drill {}", self.id)
    }

    /// The longest life of a session.
    fn longest(&self) -> Duration {
        self.time + OVER
    }

    /// Whether any coordinator answers: a drill that begins out of reach only hides a wrong address.
    async fn is_there(&self) -> Result<(), Failure> {
        let mut failed = None;
        for server in &self.lines.servers {
            match watch::list(self, server).await {
                Ok(_) => {
                    self.judge().here(&server.url);
                }
                Err(failure) => {
                    self.judge().remark(format!("{} did not answer at the start", server.url));
                    failed = Some(failure);
                }
            }
        }
        let is_there = |server: &Server| self.judge().answers(&server.url);
        failed.filter(|_| !self.lines.servers.iter().any(is_there)).map_or(Ok(()), Err)
    }

    /// Leaves nothing behind, reads everything that can be read, and judges it; what may be left.
    async fn end(&self) -> Vec<String> {
        let left = self.clean_up().await;
        for left in &left {
            self.judge().untested(Promise::Stop, left.clone());
        }
        let answers = self.read().await;
        self.judge().settle(answers);
        left
    }

    /// What may live when nobody waits for the end.
    fn left(&self) -> Failure {
        let live: Vec<String> = self.live().into_iter().map(|round| self.may_live(round)).collect();
        let message = format!("the drill was left before its end: {}", live.join("; "));
        Failure::new(Exit::NotProven, message)
    }
}
