//! An agent's own answer on its way to whoever asked.

use std::time::Duration;

use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::id::{AgentName, ToolName};
use squall_proto::vocabulary::limits::FAULT_DURATION_MS_MAX;
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_shim_core::{Act, Call, Directive, Ended, NotApplied, Site, rewrite};

use super::Shim;

/// The tool that an answer goes by, where one has to be named.
const ANSWER: &str = "answer";

impl Shim {
    /// An agent's own answer on its way to whoever asked: unchanged, or as an uncooperative agent would give it.
    ///
    /// The text never leaves the process. The answer counts as a request of its own, without a trace; with more to say of
    /// it, use [`Shim::answer_to`].
    pub async fn answer(&self, agent: &AgentName, text: String) -> String {
        let request = self.registry().fresh_request();
        self.answer_to(agent, &Call { request, trace: None }, text).await
    }

    /// [`Shim::answer`] to a request and in a trace that the host knows.
    pub async fn answer_to(&self, agent: &AgentName, call: &Call<'_>, text: String) -> String {
        let Some(site) = self.caught(|| self.site(agent, &answer_tool(), &answer_seam())) else {
            return text;
        };
        let Some(mut directive) = self.decide(&site, call).await else { return text };
        let held = self.delay(&mut directive).await;
        self.answered(&site, call, directive, held, text)
    }

    /// [`Shim::answer_to`] for a host without a runtime.
    pub fn answer_blocking(&self, agent: &AgentName, call: &Call<'_>, text: String) -> String {
        let Some(site) = self.caught(|| self.site(agent, &answer_tool(), &answer_seam())) else {
            return text;
        };
        let Some(mut directive) = self.decide_blocking(&site, call) else { return text };
        let held = self.delay_blocking(&mut directive);
        self.answered(&site, call, directive, held, text)
    }

    fn answered(
        &self,
        site: &Site,
        call: &Call<'_>,
        directive: Directive,
        held: Duration,
        text: String,
    ) -> String {
        let changed = self.caught(|| {
            let changed = directive.act().and_then(|act| match act {
                Act::Proceed => Ok(None),
                Act::RewriteOutput(rewrite) => {
                    let said =
                        rewrite::output(&rewrite, Point::Agent, Shape::Text, text.as_bytes())?;
                    String::from_utf8(said).map(Some).map_err(|_| NotApplied::Adapter)
                }
                Act::Fail(_) | Act::RewriteInput(_) => Err(NotApplied::Adapter),
            });
            match changed {
                Ok(changed) => {
                    directive.applied(call, held);
                    changed
                }
                Err(why) => {
                    directive.missed(call, why, held);
                    None
                }
            }
        });
        site.ended(call, Ended::Ok);
        changed.flatten().unwrap_or(text)
    }
}

fn answer_tool() -> ToolName {
    ToolName::new(ANSWER).expect("`answer` is a name")
}

/// An answer that the host hands through this handle.
pub(super) fn answer_seam() -> Seam {
    let capabilities = Capabilities {
        block: false,
        rewrite_in: false,
        rewrite_out: true,
        disconnect: false,
        structural: false,
        max_delay_ms: FAULT_DURATION_MS_MAX,
        knows_trace: false,
        stable_request_id: false,
    };
    let (point, shape) = (Point::Agent, Shape::Text);
    Seam { name: "linked".to_owned(), point, shape, capabilities }
}
