//! Agents that call their tools, and what the hook says to each call.

use std::time::Duration;

use squall_proto::vocabulary::id::TraceId;
use squall_proto::vocabulary::limits::CLAIM_WAIT;
use squall_shim_core::{Call, RequestKey, Verdict};

use super::fault::Waits;
use super::{ForShim, Stage, World};
use crate::names;

/// In the calm every agent is busy, so that there is demand for whatever is left.
const BUSY_MS: u64 = 20;

/// A call that an agent makes.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) agent: usize,
    pub(crate) request: RequestKey,
    pub(crate) trace: TraceId,
}

impl Made {
    /// As the hook sees it.
    pub(crate) fn seen(&self) -> Call<'_> {
        Call { request: self.request, trace: Some(&self.trace) }
    }
}

impl World {
    pub(crate) fn call(&mut self, at: usize) {
        let stage = self.stage;
        let seat = &mut self.seats[at];
        let Some(process) = seat.process.as_mut() else { return };
        if stage == Stage::Quiet || process.leaving {
            return;
        }
        let usual = seat.place.call_every_ms;
        let every = if stage == Stage::Trouble { usual } else { usual.min(BUSY_MS) };
        let next =
            seat.dice.time(Duration::from_millis(every) / 5, Duration::from_millis(every * 9 / 5));
        let agents = seat.place.agents as u64;
        // A logical request is tried again now and then.
        if !seat.dice.chance(120) {
            process.requests += 1;
        }
        let agent = usize::try_from(seat.dice.within(0, agents - 1)).unwrap_or(0);
        let request = RequestKey::of_bytes(
            &[process.requests.to_le_bytes(), (at as u64).to_le_bytes()].concat(),
        );
        let trace = names::trace(process.requests / 4 % 6);
        self.send_shim_local(at, next, ForShim::Call);
        self.decide(at, Made { agent, request, trace });
    }

    fn decide(&mut self, at: usize, made: Made) {
        let Some(process) = self.seats[at].process.as_mut() else { return };
        let verdict = process.sites[made.agent].decide(&made.seen());
        match verdict {
            Verdict::Pass => {}
            Verdict::Inject(directive) => self.inject(at, made, directive),
            Verdict::Claim(claim) => {
                process.next += 1;
                let number = process.next;
                process.claims.insert(number, Waits { claim, made });
                self.trace.line(self.now, format_args!("shim{at} claims {number}"));
                self.coverage.count("claims");
                self.send_shim_local(at, CLAIM_WAIT, ForShim::Claim(number));
            }
        }
    }
}
