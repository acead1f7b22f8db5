//! One experiment as it is armed at one site.

use std::sync::Arc;

use squall_proto::vocabulary::blast_radius::Strictness;
use squall_proto::vocabulary::id::{AgentName, ToolName};
use squall_proto::vocabulary::session::Experiment;
use squall_proto::vocabulary::target::PercentageUnit;

use super::Call;
use crate::counts::Tally;
use crate::directive::Directive;
use crate::draw::{Key, Question, RequestKey, Threshold, draw};
use crate::live::Live;
use crate::wallet::{Keys, NoPermit};

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
    exposure: Exposure,
}

/// Which of the calls are exposed at all.
#[derive(Clone, Copy, Debug)]
enum Exposure {
    Everything,
    Requests(Key, Threshold),
    Traces(Key, Threshold),
}

/// What became of a chosen call.
pub(super) enum Taken {
    Permit(Directive),
    Wait,
    Nothing,
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
        Some(Self {
            agent: agent.clone(),
            tool: tool.clone(),
            tally: live.tally(index, agent),
            key,
            threshold: Threshold::of(live.experiment(index).probability),
            since,
            index,
            exposure: Exposure::of(live, agent)?,
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
    #[inline]
    pub(super) fn chooses(&self, call: &Call<'_>) -> bool {
        self.threshold.chooses(draw(self.key, call.request))
            && match self.exposure {
                Exposure::Everything => true,
                Exposure::Requests(key, share) => share.chooses(draw(key, call.request)),
                Exposure::Traces(key, share) => call
                    .trace
                    .is_some_and(|trace| share.chooses(draw(key, RequestKey::of(trace.as_str())))),
            }
    }

    /// Takes a permit for a chosen call and counts what became of it.
    #[inline]
    pub(super) fn take(self: &Arc<Self>, call: &Call<'_>) -> Taken {
        match self.burn(call) {
            Ok(directive) => {
                self.tally.chosen();
                Taken::Permit(directive)
            }
            Err(why) => self.without_permit(call, why),
        }
    }

    fn without_permit(&self, call: &Call<'_>, why: NoPermit) -> Taken {
        let strictness = self.live.spec().safety.strictness;
        match why {
            // The session does not run here any more: nothing was chosen.
            NoPermit::Cloned | NoPermit::Stopped | NoPermit::Paused => return Taken::Nothing,
            NoPermit::Busy => {}
            NoPermit::Expired | NoPermit::Empty | NoPermit::OutOfScope => {
                if strictness != Strictness::Eventual && self.live.demand().note(&self.keys(call)) {
                    self.live.shared.wake();
                }
            }
        }
        self.tally.chosen();
        if strictness == Strictness::StrictClaim {
            return Taken::Wait;
        }
        self.tally.skipped();
        Taken::Nothing
    }

    /// Clone guard, deadline, burn (bounds.md, shim rule 2); the fault can only come after.
    #[inline]
    pub(super) fn burn(self: &Arc<Self>, call: &Call<'_>) -> Result<Directive, NoPermit> {
        let shared = &self.live.shared;
        if !shared.within_owner_cap() {
            return Err(NoPermit::Busy);
        }
        match self.live.wallet().try_burn(shared.clock.now(), &shared.guard, &self.keys(call)) {
            Ok(burn) => {
                let serial = shared.next_injection();
                Ok(Directive::new(Arc::clone(self), burn, call, serial))
            }
            Err(why) => {
                shared.below_owner_cap();
                Err(why)
            }
        }
    }

    fn keys<'a>(&'a self, call: &Call<'a>) -> Keys<'a> {
        Keys { agent: &self.agent, trace: call.trace, request: call.request.as_u64() }
    }
}

impl Exposure {
    fn of(live: &Live, agent: &AgentName) -> Option<Self> {
        let target = &live.spec().target;
        let share = Threshold::of(target.percentage);
        if share == Threshold::ALWAYS {
            return Some(Self::Everything);
        }
        let key = Key::session(Question::Percentage, live.seed(), live.key());
        match target.percentage_unit {
            PercentageUnit::Request => Some(Self::Requests(key, share)),
            PercentageUnit::Trace => Some(Self::Traces(key, share)),
            PercentageUnit::Agent => {
                let exposed = share.chooses(draw(key, RequestKey::of(agent.as_str())));
                exposed.then_some(Self::Everything)
            }
        }
    }
}

/// Whether a session can't do without the trace of each call.
pub(crate) fn needs_trace(live: &Live) -> bool {
    use squall_proto::vocabulary::blast_radius::BlastRadius;

    let spec = live.spec();
    spec.safety.blast_radius == BlastRadius::SingleTrace
        || spec.safety.max_per_trace.is_some()
        || (spec.target.percentage_unit == PercentageUnit::Trace
            && Threshold::of(spec.target.percentage) != Threshold::ALWAYS)
}
