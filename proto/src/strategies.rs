//! Random values of the vocabulary, for tests of this crate: every one of them valid, and every variant among them.

#[cfg(feature = "wire")]
pub(crate) mod message;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::{collection, option};

use crate::vocabulary::blast_radius::{BlastRadius, RateLimit, Safety, Strictness};
use crate::vocabulary::fault::{
    Behavior, ContextTruncation, Damage, Delay, ErrorCodes, Fault, FaultKind, Latency, LostPart,
    MalformedOutput, ToolUnavailable, TruncationUnit, Unavailability, UncooperativeAgent,
};
use crate::vocabulary::id::{SessionKey, TenantId};
use crate::vocabulary::named::Named;
use crate::vocabulary::session::{Experiment, SessionSpec};
use crate::vocabulary::target::{PercentageUnit, Probability, Selector, Target};

/// An identifier.
pub(crate) fn token<T: FromStr + fmt::Debug>() -> impl Strategy<Value = T>
where
    T::Err: fmt::Debug,
{
    "[A-Za-z0-9_][A-Za-z0-9_-]{0,63}".prop_map(|text| text.parse().expect("it is a token"))
}

/// A name for people, some of them not ASCII.
fn name<T: FromStr + fmt::Debug>() -> impl Strategy<Value = T>
where
    T::Err: fmt::Debug,
{
    "[ -~äß☃]{1,40}".prop_map(|text| text.parse().expect("it is a name"))
}

/// A tenant that has shims.
pub(crate) fn real_tenant() -> impl Strategy<Value = TenantId> {
    token::<TenantId>().prop_filter("has no shims", |tenant| !tenant.is_fleet())
}

/// A tenant that sessions are logged under.
pub(crate) fn log_tenant() -> impl Strategy<Value = TenantId> {
    prop_oneof![token(), Just(TenantId::fleet())]
}

fn any_of<T: Named + fmt::Debug>() -> impl Strategy<Value = T> {
    select(T::ALL)
}

fn text() -> impl Strategy<Value = String> {
    "[ -~ä☃]{0,60}"
}

fn share() -> impl Strategy<Value = f64> {
    0.0..=1.0
}

fn share_above_0() -> impl Strategy<Value = f64> {
    0.001..=1.0
}

pub(crate) fn session_key() -> impl Strategy<Value = SessionKey> {
    (log_tenant(), token()).prop_map(|(tenant, session)| SessionKey { tenant, session })
}

fn delay() -> impl Strategy<Value = Delay> {
    prop_oneof![
        (1..=60_000_u64).prop_map(|ms| Delay::Fixed { ms }),
        (0..=60_000_u64, 0..=60_000_u64)
            .prop_map(|(a, b)| Delay::Uniform { min_ms: a.min(b), max_ms: a.max(b).max(1) }),
        (1..=60_000_u64, 1..=60_000_u64, 0.001..=3.0).prop_map(|(a, b, sigma)| Delay::Lognormal {
            median_ms: a.min(b),
            sigma,
            max_ms: a.max(b)
        }),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    any_of::<FaultKind>().prop_flat_map(of_kind)
}

/// The match is exhaustive, so that a new kind is drawn too.
fn of_kind(kind: FaultKind) -> BoxedStrategy<Fault> {
    match kind {
        FaultKind::Latency => delay().prop_map(|delay| Fault::Latency(Latency { delay })).boxed(),
        FaultKind::Error => (collection::vec(400..=599_u16, 1..=32), option::of(text()))
            .prop_map(|(codes, message)| Fault::Error(ErrorCodes { codes, message }))
            .boxed(),
        FaultKind::ToolUnavailable => (any_of::<Unavailability>(), 1..=60_000_u64)
            .prop_map(|(mode, timeout_ms)| {
                Fault::ToolUnavailable(ToolUnavailable { mode, timeout_ms })
            })
            .boxed(),
        FaultKind::UncooperativeAgent => uncooperative().boxed(),
        FaultKind::ContextTruncation => {
            (share_above_0(), any_of::<LostPart>(), any_of::<TruncationUnit>())
                .prop_map(|(fraction, from, unit)| {
                    Fault::ContextTruncation(ContextTruncation { fraction, from, unit })
                })
                .boxed()
        }
        FaultKind::MalformedOutput => (any_of::<Damage>(), share())
            .prop_map(|(mode, keep)| Fault::MalformedOutput(MalformedOutput { mode, keep }))
            .boxed(),
    }
}

fn uncooperative() -> impl Strategy<Value = Fault> {
    let behaviors = collection::vec(any_of::<Behavior>(), 1..=6);
    (behaviors, collection::vec(text(), 0..4), share(), delay()).prop_map(
        |(behaviors, texts, keep, delay)| {
            Fault::UncooperativeAgent(UncooperativeAgent { behaviors, texts, keep, delay })
        },
    )
}

fn probability() -> impl Strategy<Value = Probability> {
    share().prop_map(|share| Probability::new(share).expect("it is 0 to 1"))
}

fn selector() -> impl Strategy<Value = Selector> {
    (collection::vec(name(), 0..3), collection::vec(name(), 0..3))
        .prop_map(|(agents, tools)| Selector { agents, tools })
}

fn experiments() -> impl Strategy<Value = Vec<Experiment>> {
    let experiment = (name::<String>(), fault(), probability(), selector());
    collection::vec(experiment, 1..4).prop_map(|experiments| {
        let numbered = experiments.into_iter().enumerate();
        numbered
            .map(|(n, (name, fault, probability, selector))| Experiment {
                name: format!("{n} {name}").parse().expect("it is a name"),
                fault,
                probability,
                selector,
            })
            .collect()
    })
}

fn bound() -> impl Strategy<Value = Option<u32>> {
    option::of(1..=1_000_000_u32)
}

/// Bounds and the tenants they need: the rules between them are those of `SafetyDraft`.
fn safety() -> impl Strategy<Value = (Safety, Vec<TenantId>)> {
    let permits = (1..=1_000_000_u32, bound(), bound(), 1..=1_000_000_u32, bound());
    let rate = option::of((1..=1_000_000_u32, 1..=3600_u64));
    let levels = (any_of::<BlastRadius>(), any_of::<Strictness>());
    let tenants = collection::btree_set(real_tenant(), 1..4);
    let rest = (1..=604_800_u64, bound(), any::<bool>(), any::<bool>());
    (levels, permits, rate, tenants, rest).prop_map(|(levels, permits, rate, tenants, rest)| {
        let (blast_radius, strictness) = levels;
        let (budget, per_agent, per_trace, outstanding, concurrent) = permits;
        let (seconds, cascade_threshold, auto_abort_on_cascade, accept_lazy_log) = rest;
        let claims = matches!(blast_radius, BlastRadius::SingleRequest | BlastRadius::SingleTrace);
        let strictness = match (claims, blast_radius, strictness) {
            (true, ..) => Strictness::StrictClaim,
            (false, BlastRadius::SingleAgent, Strictness::Eventual) => Strictness::Strict,
            (false, _, strictness) => strictness,
        };
        let eventual = strictness == Strictness::Eventual;
        let budget = if blast_radius == BlastRadius::SingleRequest { 1 } else { budget };
        let first = tenants.first().cloned();
        let safety = Safety {
            blast_radius,
            max_affected_requests: budget,
            max_per_tenant: first
                .filter(|_| !eventual)
                .map(|tenant| (tenant, budget.div_ceil(2)))
                .into_iter()
                .collect(),
            max_per_agent: per_agent.filter(|_| !eventual),
            max_per_trace: per_trace.filter(|_| strictness == Strictness::StrictClaim),
            max_outstanding: outstanding.min(budget),
            max_duration: Duration::from_secs(seconds),
            max_concurrent: concurrent.filter(|_| !eventual),
            max_rate: rate.filter(|_| !eventual).map(|(permits, window_s)| RateLimit {
                permits,
                window: Duration::from_secs(window_s),
            }),
            strictness,
            cascade_threshold,
            auto_abort_on_cascade,
            accept_lazy_log,
        };
        let multi = blast_radius == BlastRadius::MultiTenant;
        (safety, tenants.into_iter().filter(|_| multi).collect())
    })
}

pub(crate) fn spec() -> impl Strategy<Value = SessionSpec> {
    let target =
        (selector(), probability(), any_of::<PercentageUnit>(), collection::vec(token(), 0..3));
    (text(), experiments(), target, safety()).prop_map(
        |(title, experiments, target, (safety, tenants))| {
            let (selector, percentage, percentage_unit, environments) = target;
            let target = Target { selector, tenants, percentage, percentage_unit, environments };
            SessionSpec { title, experiments, target, safety }
        },
    )
}
