//! What a seam can do, and whether a fault can be applied there. Decided before a session starts, so that no
//! experiment is a silent no-op; the shim checks the same function again when it compiles its plan.

use serde::{Deserialize, Serialize};

use super::call::{Point, Shape};
use super::fault::{Behavior, Damage, Fault, TruncationUnit, Unavailability};
use super::limits::FAULT_DURATION_MS_MAX;
use super::named::Named;

/// What a seam's host lets it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent capability, sent as such"
)]
pub struct Capabilities {
    /// Answer in place of the call, an error included.
    pub block: bool,
    /// Change what goes into the call.
    pub rewrite_in: bool,
    /// Change what comes out of the call.
    pub rewrite_out: bool,
    /// Break the connection under the call.
    pub disconnect: bool,
    /// Hand over damaged structure (invalid JSON as a body); otherwise only string leaves are changed.
    pub structural: bool,
    /// Longest delay that the host tolerates, in milliseconds; 0 where the seam can't wait.
    pub max_delay_ms: u64,
    /// Knows the trace of each call.
    pub knows_trace: bool,
    /// Knows a request id that is the same over retries of one logical request.
    pub stable_request_id: bool,
}

impl Capabilities {
    /// Everything that a host can let a seam do: no fault is refused for want of a capability.
    pub const ALL: Self = Self {
        block: true,
        rewrite_in: true,
        rewrite_out: true,
        disconnect: true,
        structural: true,
        max_delay_ms: FAULT_DURATION_MS_MAX,
        knows_trace: true,
        stable_request_id: true,
    };
}

/// A place where a shim meets a framework.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seam {
    /// Name of the adapter: `rmcp`, `tower`, `linked`.
    pub name: String,
    /// What kind of call it sees.
    pub point: Point,
    /// The shape of contents.
    pub shape: Shape,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// Why a fault can't be applied at a seam.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// The fault has no meaning at this point.
    #[error("the fault has no meaning at calls of {}s", .0.name())]
    Point(Point),
    /// The seam can't answer in place of the call.
    #[error("the seam can't answer in place of the call")]
    Block,
    /// The seam can't change the input.
    #[error("the seam can't change what goes in")]
    RewriteIn,
    /// The seam can't change the output.
    #[error("the seam can't change what comes out")]
    RewriteOut,
    /// The seam can't break the connection.
    #[error("the seam can't break the connection")]
    Disconnect,
    /// The seam can't hand over damaged structure.
    #[error("the seam can't hand over damaged structure")]
    Structural,
    /// The seam can't wait that long.
    #[error("the fault may take {needed_ms} ms, the seam waits {max_delay_ms} ms at most")]
    Delay {
        /// What the fault may take.
        needed_ms: u64,
        /// What the seam tolerates.
        max_delay_ms: u64,
    },
    /// The shape has no messages to count.
    #[error("the shape {} has no messages to count", .0.name())]
    Messages(Shape),
}

impl Seam {
    /// Whether `fault` can be applied here.
    ///
    /// # Errors
    /// [`Unsupported`] names the first thing that is missing.
    pub fn supports(&self, fault: &Fault) -> Result<(), Unsupported> {
        let able = &self.capabilities;
        let need = |has: bool, missing: Unsupported| if has { Ok(()) } else { Err(missing) };
        let at =
            |points: &[Point]| need(points.contains(&self.point), Unsupported::Point(self.point));
        let needed_ms = fault.longest_ms();
        let max_delay_ms = able.max_delay_ms;
        need(needed_ms <= max_delay_ms, Unsupported::Delay { needed_ms, max_delay_ms })?;
        match fault {
            Fault::Latency(_) => at(&[Point::Tool, Point::Model]),
            Fault::Error(_) => {
                at(&[Point::Tool, Point::Model])?;
                need(able.block, Unsupported::Block)
            }
            Fault::ToolUnavailable(fault) => {
                at(&[Point::Tool])?;
                match fault.mode {
                    Unavailability::Disconnect => need(able.disconnect, Unsupported::Disconnect),
                    Unavailability::Error | Unavailability::Timeout | Unavailability::NotFound => {
                        need(able.block, Unsupported::Block)
                    }
                }
            }
            Fault::UncooperativeAgent(fault) => {
                at(&[Point::Agent, Point::Model])?;
                let answers = fault.behaviors.iter().any(|behavior| *behavior != Behavior::Delay);
                need(!answers || able.rewrite_out, Unsupported::RewriteOut)
            }
            Fault::ContextTruncation(fault) => {
                at(&[Point::Tool, Point::Model])?;
                need(able.rewrite_in, Unsupported::RewriteIn)?;
                let counts_messages = fault.unit == TruncationUnit::Messages;
                need(!counts_messages || self.has_messages(), Unsupported::Messages(self.shape))
            }
            Fault::MalformedOutput(fault) => {
                at(&[Point::Tool, Point::Model])?;
                need(able.rewrite_out, Unsupported::RewriteOut)?;
                need(!self.is_structural(fault.mode) || able.structural, Unsupported::Structural)
            }
        }
    }

    /// Only a model's JSON request holds a list of messages.
    fn has_messages(&self) -> bool {
        self.point == Point::Model && self.shape == Shape::Json
    }

    /// Whether the damage goes beyond string leaves in this shape. In MCP results the damage stays inside text parts.
    fn is_structural(&self, damage: Damage) -> bool {
        match self.shape {
            Shape::Text | Shape::McpJsonRpc => false,
            Shape::Json => match damage {
                Damage::JsonBreak | Damage::Empty | Damage::FieldsRemoved | Damage::WrongType => {
                    true
                }
                Damage::Truncate | Damage::Encoding => false,
            },
        }
    }
}
