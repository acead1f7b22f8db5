//! Changing what goes into a call and what comes out of it. Pure functions on bytes: JSON is rewritten once, here.
//!
//! Structure is kept unless a damage is about structure: only text is changed, in place, and every other byte stays as it
//! was. What text is depends on point and shape:
//!
//! | shape | input | output |
//! |---|---|---|
//! | text | all of it | all of it |
//! | JSON at a tool | every string value | every string value |
//! | JSON at a model or agent | what the conversation says (`rewrite/model.rs`), not roles, names or settings | the same |
//! | MCP | string values in the arguments of `tools/call`, never the name or id | the text parts of the result, and `structuredContent` with them |
//!
//! A rewrite that would change nothing is [`NotApplied`] with the reason, never a silent success.

mod damage;
mod leaves;
mod mcp;
mod model;
mod text;
mod truncation;
mod uncooperative;

use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::{Behavior, ContextTruncation, MalformedOutput};

use crate::directive::NotApplied;

/// Largest body that is rewritten: beyond it, copies would cost the host more than the fault is worth.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What an agent says that declines its task, unless the experiment brings its own words.
pub const REFUSALS: [&str; 4] = [
    "I'm sorry, but I can't help with that.",
    "I'm not able to complete this task.",
    "I don't think I'm the right agent for this, so I'll stop here.",
    "I'd rather not do this without further confirmation.",
];

/// How an input changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputRewrite<'a> {
    /// What is cut.
    pub truncation: &'a ContextTruncation,
}

/// How an output changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OutputRewrite<'a> {
    /// It is damaged.
    Damage {
        /// How.
        fault: &'a MalformedOutput,
        /// Drawn from the request: which fields are lost, which characters are hit.
        salt: u32,
    },
    /// It comes from an agent that doesn't cooperate.
    Uncooperative {
        /// What the agent does instead; [`Behavior::Delay`] is a hold and changes nothing here.
        behavior: Behavior,
        /// The refusal.
        text: &'a str,
        /// Share of the answer that [`Behavior::Partial`] keeps.
        keep: f64,
    },
}

/// The changed input of a call.
///
/// # Errors
/// [`NotApplied`] when the result would be no different, or `body` isn't what the shape says.
pub fn input(
    rewrite: &InputRewrite<'_>,
    point: Point,
    shape: Shape,
    body: &[u8],
) -> Result<Vec<u8>, NotApplied> {
    let body = bounded(body)?;
    let changed = truncation::input(rewrite.truncation, point, shape, body)?;
    different(body, changed)
}

/// The changed output of a call.
///
/// # Errors
/// [`NotApplied`] when the result would be no different, or `body` isn't what the shape says.
pub fn output(
    rewrite: &OutputRewrite<'_>,
    point: Point,
    shape: Shape,
    body: &[u8],
) -> Result<Vec<u8>, NotApplied> {
    let body = bounded(body)?;
    let changed = match *rewrite {
        OutputRewrite::Damage { fault, salt } => damage::output(fault, salt, point, shape, body)?,
        OutputRewrite::Uncooperative { behavior, text, keep } => {
            uncooperative::output(behavior, text, keep, point, shape, body)?
        }
    };
    different(body, changed)
}

fn bounded(body: &[u8]) -> Result<&str, NotApplied> {
    if body.len() > BODY_BYTES_MAX {
        return Err(NotApplied::TooLarge);
    }
    std::str::from_utf8(body).map_err(|_| NotApplied::Unexpected)
}

fn different(before: &str, after: String) -> Result<Vec<u8>, NotApplied> {
    if before == after { Err(NotApplied::NothingToDamage) } else { Ok(after.into_bytes()) }
}

#[cfg(test)]
mod tests;
