//! One experiment as it is armed at one site.

use std::sync::Arc;

use squall_proto::vocabulary::blast_radius::Strictness;
use squall_proto::vocabulary::id::{AgentName, ToolName, TraceId};
use squall_proto::vocabulary::session::Experiment;
use squall_proto::vocabulary::target::PercentageUnit;
use squall_proto::vocabulary::time::BootNanos;

use super::Call;
use crate::counts::Tally;
use crate::directive::Directive;
use crate::draw::{Key, Question, RequestKey, Threshold, draw};
use crate::live::Live;
use crate::pocket::Pocket;
use crate::wallet::{Burn, CloneGuard, Keys, NoPermit};

/// One experiment of one session, armed for one agent and tool.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) live: Arc<Live>,
    pub(crate) agent: AgentName,
    pub(crate) tool: ToolName,
    pub(crate) tally: Arc<Tally>,
    pub(crate) key: Key,
    pub(crate) threshold: Threshold,
    /// Calls that the site had seen when the rule was armed.
    pub(crate) since: u64,
    pub(crate) index: usize,
    /// The key again, if a draw that isn't above the limit and a permit are all that a call needs; otherwise a number that
    /// no key is.
    plain_key: u64,
    guard: Arc<CloneGuard>,
    exposure: Exposure,
}

/// Which of the calls are exposed at all.
#[derive(Clone, Copy, Debug)]
enum Exposure {
    Everything,
    Share(Share),
}

/// A share of requests or traces.
#[derive(Clone, Copy, Debug)]
struct Share {
    key: Key,
    threshold: Threshold,
    of_traces: bool,
}

/// What a chosen call does that found no permit.
pub(super) enum Next {
    /// It waits for a permit of its own.
    Wait,
    /// It goes on to the rules of other sessions.
    Others,
}

impl Rule {
    /// `None` if the agent isn't among the exposed share of agents.
    pub(super) fn new(
        live: &Arc<Live>,
        index: usize,
        agent: &AgentName,
        tool: &ToolName,
        since: u64,
    ) -> Option<Self> {
        let name = &live.experiment(index).name;
        let key = Key::experiment(Question::Choice, live.seed(), live.key(), name);
        let threshold = Threshold::of(live.experiment(index).probability);
        let exposure = Exposure::of(live, agent)?;
        let is_plain = matches!(exposure, Exposure::Everything)
            && threshold != Threshold::NEVER
            && live.shared.policy.max_injections.is_none();
        Some(Self {
            agent: agent.clone(),
            tool: tool.clone(),
            tally: live.tally(index, agent),
            key,
            threshold,
            since,
            index,
            plain_key: if is_plain { u64::from(key.0) } else { u64::MAX },
            guard: Arc::clone(&live.shared.guard),
            exposure,
            live: Arc::clone(live),
        })
    }

    pub(super) fn is(&self, live: &Arc<Live>, index: usize) -> bool {
        Arc::ptr_eq(&self.live, live) && self.index == index
    }

    pub(crate) fn experiment(&self) -> &Experiment {
        self.live.experiment(self.index)
    }

    /// Whether the experiment chooses this call.
    pub(super) fn chooses(&self, call: &Call<'_>) -> bool {
        self.threshold.chooses(draw(self.key, call.request))
            && self.exposes(call.request, call.trace)
    }

    /// Whether the call is exposed at all.
    fn exposes(&self, request: RequestKey, trace: Option<&TraceId>) -> bool {
        match &self.exposure {
            Exposure::Everything => true,
            Exposure::Share(share) => share.exposes(request, trace),
        }
    }

    /// Clone guard, deadline, burn (docs/protocol.md, shim rule 2); the fault can only come after. `None` when it isn't as
    /// simple as that: ask [`Rule::burn`].
    #[inline(always)]
    pub(super) fn burn_at_once(&self, now: BootNanos) -> Option<Burn> {
        self.live.wallet().burn_at_once(now, &self.guard)
    }

    /// Whether a call that the filter chose by this key needs nothing more than a permit.
    #[inline]
    pub(super) fn is_plain(&self, key: Key) -> bool {
        self.plain_key == u64::from(key.0)
    }

    /// The same for every wallet and policy, with the reason.
    pub(super) fn burn(&self, call: &Call<'_>) -> Result<Burn, NoPermit> {
        let shared = &*self.live.shared;
        let capped = shared.policy.max_injections.is_some();
        if capped && !shared.take_from_owner_cap() {
            return Err(NoPermit::Busy);
        }
        let burn = self.live.wallet().try_burn(shared.clock.now(), &shared.guard, &self.keys(call));
        if capped && burn.is_err() {
            shared.give_back_to_owner_cap();
        }
        burn
    }

    #[inline(always)]
    pub(super) fn directive(
        self: Arc<Self>,
        burn: Burn,
        request: RequestKey,
        trace: Option<&TraceId>,
    ) -> Directive {
        let pocket = match trace {
            None => Pocket::NONE,
            Some(trace) => self.live.shared.pockets.keep(trace),
        };
        Directive::new(self, burn, request, pocket)
    }

    /// Counts a chosen call that found no permit, and leaves its demand.
    #[cold]
    #[inline(never)]
    pub(super) fn without_permit(&self, call: &Call<'_>, why: NoPermit) -> Next {
        let strictness = self.live.spec().safety.strictness;
        match why {
            // The session does not run here any more: nothing was chosen.
            NoPermit::Cloned | NoPermit::Stopped | NoPermit::Paused => return Next::Others,
            NoPermit::Busy => {}
            NoPermit::Expired | NoPermit::Empty | NoPermit::OutOfScope => {
                if strictness != Strictness::Eventual && self.live.demand().note(&self.keys(call)) {
                    self.live.shared.wake();
                }
            }
        }
        self.tally.chosen();
        if strictness == Strictness::StrictClaim {
            return Next::Wait;
        }
        self.tally.skipped();
        Next::Others
    }

    fn keys<'a>(&'a self, call: &Call<'a>) -> Keys<'a> {
        Keys { agent: &self.agent, trace: call.trace, request: call.request.as_u64() }
    }
}

impl Exposure {
    /// `None` if nothing that the agent does is exposed.
    fn of(live: &Live, agent: &AgentName) -> Option<Self> {
        let target = &live.spec().target;
        let threshold = Threshold::of(target.percentage);
        if threshold == Threshold::ALWAYS {
            return Some(Self::Everything);
        }
        let key = Key::session(Question::Percentage, live.seed(), live.key());
        let share = |of_traces| Some(Self::Share(Share { key, threshold, of_traces }));
        match target.percentage_unit {
            PercentageUnit::Request => share(false),
            PercentageUnit::Trace => share(true),
            PercentageUnit::Agent => {
                let exposed = threshold.chooses(draw(key, RequestKey::of(agent.as_str())));
                exposed.then_some(Self::Everything)
            }
        }
    }
}

impl Share {
    fn exposes(&self, request: RequestKey, trace: Option<&TraceId>) -> bool {
        let unit = if self.of_traces {
            trace.map(|trace| RequestKey::of(trace.as_str()))
        } else {
            Some(request)
        };
        unit.is_some_and(|unit| self.threshold.chooses(draw(self.key, unit)))
    }
}
