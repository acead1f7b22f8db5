//! Where a hook asks: one agent calling one tool through one seam.

use squall_proto::vocabulary::id::{AgentName, ToolName, TraceId};
use squall_proto::vocabulary::message::ScopeKeys;
use squall_proto::vocabulary::seam::Seam;

use crate::directive::Directive;
use crate::draw::RequestKey;
use crate::live::Live;

/// One agent calling one tool through one seam.
#[derive(Debug)]
pub struct Site {}

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

/// A chosen request of a `strict_claim` session that waits for a permit of its own. Its demand was noted.
#[derive(Debug)]
#[must_use]
pub struct Claim {}

impl Claim {
    /// The session: its wallet shows whether a permit came.
    #[must_use]
    pub fn live(&self) -> &Live {
        todo!()
    }

    /// What the permit must be for.
    #[must_use]
    pub fn keys(&self) -> ScopeKeys {
        todo!()
    }

    /// Whether settling now would find the permit.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        todo!()
    }

    /// Burns the permit if it came: [`Verdict::Inject`], else [`Verdict::Pass`], counted as skipped.
    pub fn settle(self) -> Verdict {
        todo!()
    }
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
    /// What to do with this call. Wait-free; allocates nothing; reads no clock unless the call was chosen.
    #[inline]
    pub fn decide(&self, call: &Call<'_>) -> Verdict {
        let _ = call;
        todo!()
    }

    /// How the call ended: what the cascade guard learns from. Costs one load while no session is live.
    #[inline]
    pub fn ended(&self, call: &Call<'_>, ended: Ended) {
        let _ = (call, ended);
        todo!()
    }

    /// Whether any session is armed here.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        todo!()
    }

    /// The agent.
    #[must_use]
    pub fn agent(&self) -> &AgentName {
        todo!()
    }

    /// The tool or model.
    #[must_use]
    pub fn tool(&self) -> &ToolName {
        todo!()
    }

    /// The seam.
    #[must_use]
    pub fn seam(&self) -> &Seam {
        todo!()
    }
}
