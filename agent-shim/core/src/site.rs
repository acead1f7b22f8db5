//! Where a hook asks: one agent calling one tool through one seam.
//!
//! The host calls [`Site::decide`] at every tool or model call, nearly always with no session that matters to it:
//!
//! 1. `armed == 0`: one load. Idle and "sessions are live, none targets this site" are the same.
//! 2. Armed: the filter ([`Filter`]) draws for each rule and compares. It reads only atomics that are never freed while
//!    the site lives, so it needs neither lock nor reclamation; while a plan changes it may miss a call or name the wrong
//!    rule.
//! 3. A rule may choose the call: only then the rules themselves are read, under a lock that no hook waits for. Whether it
//!    is the rule that the filter meant, and everything beside the draw, is decided there; and a permit must burn.

mod filter;
mod rule;

use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLock};

use squall_proto::vocabulary::id::{AgentName, ToolName, TraceId};
use squall_proto::vocabulary::message::ScopeKeys;
use squall_proto::vocabulary::seam::Seam;
use squall_proto::vocabulary::site::Site as Place;

use crate::counts::Calls;
use crate::directive::Directive;
use crate::draw::{Key, RequestKey};
use crate::live::Live;
use crate::lock::{read, try_read, try_write, write};
use crate::outlined::Outlined;
use crate::shared::Shared;
use crate::wallet::Keys;
use filter::{Armed, Filter};
use rule::Next;
pub(crate) use rule::Rule;

/// One agent calling one tool through one seam.
#[derive(Debug)]
pub struct Site {
    filter: Filter,
    calls: Calls,
    rules: RwLock<Vec<Arc<Rule>>>,
    shared: Arc<Shared>,
    agent: AgentName,
    tool: ToolName,
    seam: Seam,
}

/// One call, as far as the decision needs to know it: never its contents.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The logical request: the same for all its retries.
    pub request: RequestKey,
    /// Its trace, where the seam knows it.
    pub trace: Option<&'a TraceId>,
}

/// What a hook must do.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// Make the call as it is.
    Pass,
    /// Change the call.
    Inject(Directive),
    /// Wait for the request's own permit, [`CLAIM_WAIT`](squall_proto::vocabulary::limits::CLAIM_WAIT) at most, then
    /// ask again by [`Claim::settle`].
    Claim(Claim),
}

/// How a call ended, by itself or as changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// With an answer.
    Ok,
    /// With an error.
    Failed,
    /// With an error that an injection made: no evidence of a cascade.
    FailedByInjection,
}

impl Site {
    pub(crate) fn new(
        agent: &AgentName,
        tool: &ToolName,
        seam: &Seam,
        shared: &Arc<Shared>,
    ) -> Self {
        Self {
            filter: Filter::default(),
            calls: Calls::default(),
            rules: RwLock::default(),
            shared: Arc::clone(shared),
            agent: agent.clone(),
            tool: tool.clone(),
            seam: seam.clone(),
        }
    }

    /// What to do with this call. Allocates nothing, reads no clock unless the call was chosen, and waits for no plan and no
    /// message; only a burn of permits that are for one agent, trace or request shares a lock that is held for an assignment.
    #[inline]
    pub fn decide(&self, call: &Call<'_>) -> Verdict {
        let armed = self.filter.armed();
        if armed.is_none() {
            return Verdict::Pass;
        }
        self.calls.count();
        if !armed.is_one() {
            return self.decide_among(armed, call.request, call.trace);
        }
        match self.filter.only(call.request) {
            None => Verdict::Pass,
            Some(key) => self.choose(call.request, call.trace, key),
        }
    }

    /// The same for hosts that have to work out which call it is: `call` is asked only while a session is armed here.
    #[inline]
    pub fn decide_with<'a>(&self, call: impl FnOnce() -> Call<'a>) -> Verdict {
        if self.is_armed() { self.decide(&call()) } else { Verdict::Pass }
    }

    /// The filter says that the only rule, with this key, chooses the call.
    #[cold]
    #[inline(never)]
    fn choose(&self, request: RequestKey, trace: Option<&TraceId>, key: Key) -> Verdict {
        let now = self.shared.clock.now();
        // A plan is being installed at this moment: let the call pass rather than wait.
        let Some(rules) = try_read(&self.rules) else { return Verdict::Pass };
        let Some(rule) = rules.first().map(Arc::clone) else { return Verdict::Pass };
        drop(rules);
        if rule.is_plain(key)
            && let Some(burn) = rule.burn_at_once(now)
        {
            rule.tally.chosen();
            return Verdict::Inject(rule.directive(burn, request, trace));
        }
        drop(rule);
        self.choose_from(0, request, trace)
    }

    /// Asks several rules.
    #[inline(never)]
    fn decide_among(&self, armed: Armed, request: RequestKey, trace: Option<&TraceId>) -> Verdict {
        #[cfg(target_arch = "x86_64")]
        if armed.is_wide() {
            // SAFETY: the filter says so only where the processor has AVX2.
            return unsafe { self.decide_among_wide(armed, request, trace) };
        }
        let _ = armed;
        self.choose_among(0, request, trace)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(never)]
    #[target_feature(enable = "avx2")]
    fn decide_among_wide(
        &self,
        armed: Armed,
        request: RequestKey,
        trace: Option<&TraceId>,
    ) -> Verdict {
        match self.filter.stretch(armed, request) {
            None => Verdict::Pass,
            Some(from) => self.choose_among(from, request, trace),
        }
    }

    /// The filter says that a rule not far behind `from` may choose the call.
    #[cold]
    #[inline(never)]
    fn choose_among(&self, from: usize, request: RequestKey, trace: Option<&TraceId>) -> Verdict {
        match self.filter.first(from, request) {
            None => Verdict::Pass,
            Some(first) => self.choose_from(first, request, trace),
        }
    }

    /// The first of the rules from `first` on that chooses the call and has a permit.
    #[cold]
    #[inline(never)]
    fn choose_from(&self, first: usize, request: RequestKey, trace: Option<&TraceId>) -> Verdict {
        let call = &Call { request, trace };
        let Some(rules) = try_read(&self.rules) else { return Verdict::Pass };
        let mut tried: Option<&Arc<Rule>> = None;
        for rule in rules.get(first..).unwrap_or_default() {
            let session_tried = tried.is_some_and(|tried| Arc::ptr_eq(&tried.live, &rule.live));
            if session_tried || !rule.chooses(call) {
                continue;
            }
            match rule.burn(call) {
                Ok(burn) => {
                    rule.tally.chosen();
                    return Verdict::Inject(Arc::clone(rule).directive(burn, request, trace));
                }
                Err(why) => match rule.without_permit(call, why) {
                    Next::Wait => return Verdict::Claim(Claim::new(rule, call)),
                    Next::Others => tried = Some(rule),
                },
            }
        }
        Verdict::Pass
    }

    /// How the call ended: what the cascade guard learns from. Costs one load while no session is live.
    #[inline]
    pub fn ended(&self, call: &Call<'_>, ended: Ended) {
        if self.shared.sessions_running.load(Ordering::Relaxed) == 0 {
            return;
        }
        if let Some(trace) = call.trace.filter(|_| self.shared.is_ours()) {
            self.shared.traces.ended(trace, ended, &self.shared);
        }
    }

    /// Whether any session is armed here.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        !self.filter.armed().is_none()
    }

    /// The agent.
    #[must_use]
    pub fn agent(&self) -> &AgentName {
        &self.agent
    }

    /// The tool or model.
    #[must_use]
    pub fn tool(&self) -> &ToolName {
        &self.tool
    }

    /// The seam.
    #[must_use]
    pub fn seam(&self) -> &Seam {
        &self.seam
    }

    /// Where it is, for the question what fits here.
    pub(crate) fn place(&self) -> Place<'_> {
        Place { agent: &self.agent, tool: &self.tool, seam: &self.seam }
    }

    /// Arms the site with `wanted` (session and index of the experiment, in the order in which they are asked), keeping
    /// the rules that it already has.
    pub(crate) fn arm(&self, wanted: &[(Arc<Live>, usize)]) {
        if wanted.is_empty() && !self.is_armed() && read(&self.rules).is_empty() {
            return;
        }
        let mut rules = write(&self.rules);
        let before = std::mem::take(&mut *rules);
        let calls = self.calls.total();
        for (live, experiment) in wanted {
            let same = before.iter().find(|rule| rule.is(live, *experiment));
            let rule = same.map(Arc::clone);
            rules.extend(rule.or_else(|| self.rule(live, *experiment, calls)));
        }
        self.filter.publish(&rules);
        for rule in before.iter().filter(|rule| !rules.iter().any(|kept| Arc::ptr_eq(kept, rule))) {
            rule.tally.seen_before(self.calls.total().saturating_sub(rule.since));
        }
    }

    fn rule(&self, live: &Arc<Live>, experiment: usize, calls: u64) -> Option<Arc<Rule>> {
        Rule::new(live, experiment, &self.agent, &self.tool, calls).map(Arc::new)
    }

    /// Calls that each armed rule has seen since it was armed.
    pub(crate) fn seen(&self) -> Vec<(Arc<Rule>, u64)> {
        let rules = read(&self.rules);
        let calls = self.calls.total();
        rules.iter().map(|rule| (Arc::clone(rule), calls.saturating_sub(rule.since))).collect()
    }

    /// Forgets every rule without looking at it; `false` if a fork left the lock held.
    pub(crate) fn disarm_after_fork(&self) -> bool {
        let Some(mut rules) = try_write(&self.rules) else { return false };
        rules.clear();
        self.filter.publish(&rules);
        true
    }
}

/// A chosen request of a `strict_claim` session that waits for a permit of its own. Its demand was noted.
#[derive(Debug)]
#[must_use]
pub struct Claim(Outlined<Waiting>);

#[derive(Debug)]
struct Waiting {
    rule: Arc<Rule>,
    request: RequestKey,
    trace: Option<TraceId>,
    settled: bool,
}

impl Claim {
    fn new(rule: &Arc<Rule>, call: &Call<'_>) -> Self {
        let rule = Arc::clone(rule);
        let (request, trace) = (call.request, call.trace.cloned());
        Self(Outlined::new(Waiting { rule, request, trace, settled: false }))
    }

    /// The session: its wallet shows whether a permit came.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.0.rule.live
    }

    /// What the permit must be for.
    #[must_use]
    pub fn keys(&self) -> ScopeKeys {
        let Waiting { rule, request, trace, settled: _ } = &*self.0;
        ScopeKeys { agent: rule.agent.clone(), trace: trace.clone(), request: request.as_u64() }
    }

    /// Whether settling now would find the permit.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let Waiting { rule, request, trace, settled: _ } = &*self.0;
        let shared = &rule.live.shared;
        let keys = Keys { agent: &rule.agent, trace: trace.as_ref(), request: request.as_u64() };
        rule.live.wallet().could_burn(shared.clock.now(), &shared.guard, &keys)
    }

    /// Burns the permit if it came: [`Verdict::Inject`], else [`Verdict::Pass`], counted as skipped.
    pub fn settle(mut self) -> Verdict {
        let Waiting { rule, request, trace, settled } = &mut *self.0;
        let call = Call { request: *request, trace: trace.as_ref() };
        match rule.burn(&call) {
            Ok(burn) => {
                *settled = true;
                Verdict::Inject(Arc::clone(rule).directive(burn, call.request, call.trace))
            }
            Err(_) => Verdict::Pass,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.settled {
            self.rule.tally.skipped();
        }
    }
}

#[cfg(test)]
mod tests;
