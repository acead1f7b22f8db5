//! Changing what goes into a call and what comes out of it. Pure functions on bytes: JSON is rewritten once, here.

use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::{Behavior, ContextTruncation, MalformedOutput};

use crate::directive::NotApplied;

/// What an agent says that declines its task.
pub(crate) const REFUSALS: [&str; 4] = [
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
        /// What the agent does instead; never [`Behavior::Delay`], which is a hold.
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
    let _ = (rewrite, point, shape, body);
    todo!()
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
    let _ = (rewrite, point, shape, body);
    todo!()
}
