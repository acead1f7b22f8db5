//! Messages as a fault makes them: the protocol's side of rewriting and rendering.

use std::time::Duration;

use ::rmcp::model::{ClientRequest, JsonRpcMessage};
use serde_json::Value;
use squall_proto::vocabulary::call::Shape;
use squall_shim_core::rewrite::{self, InputRewrite, OutputRewrite};
use squall_shim_core::{Act, Directive, Failure, FailureKind, NotApplied, render};

use super::seat::Caller;
use super::{Rx, Tx};
use crate::Shim;

/// What an act makes of a call.
pub(super) enum Turn {
    Proceed,
    Answer(Box<Rx>),
    Break,
    Request(Box<Tx>),
    ExpectOutput,
}

/// What becomes of a call now: await nothing between this and doing it.
pub(super) fn turn(
    shim: &Shim,
    directive: &Directive,
    caller: &Caller,
    request: &Tx,
) -> Result<Turn, NotApplied> {
    shim.unharmed(|| {
        Ok(match directive.act()? {
            Act::Proceed => Turn::Proceed,
            Act::Fail(failure) if failure.kind == FailureKind::Disconnect => Turn::Break,
            Act::Fail(failure) => Turn::Answer(Box::new(failed(&failure, caller, request)?)),
            Act::RewriteInput(cut) => {
                Turn::Request(Box::new(changed_input(&cut, caller, request)?))
            }
            Act::RewriteOutput(_) => Turn::ExpectOutput,
        })
    })
}

/// The failure as the server's answer to `request`.
fn failed(failure: &Failure<'_>, caller: &Caller, request: &Tx) -> Result<Rx, NotApplied> {
    let request = serde_json::to_vec(request).map_err(|_| NotApplied::Adapter)?;
    let answer = render::failure(failure, Shape::McpJsonRpc, caller.site.tool().as_str(), &request);
    serde_json::from_slice(&answer.body).map_err(|_| NotApplied::Adapter)
}

/// The request with changed arguments: only they are taken from the rewritten message.
fn changed_input(cut: &InputRewrite<'_>, caller: &Caller, request: &Tx) -> Result<Tx, NotApplied> {
    let body = serde_json::to_vec(request).map_err(|_| NotApplied::Adapter)?;
    let rewritten = rewrite::input(cut, caller.point(), Shape::McpJsonRpc, &body)?;
    let mut rewritten: Value =
        serde_json::from_slice(&rewritten).map_err(|_| NotApplied::Adapter)?;
    let mut changed = request.clone();
    if let JsonRpcMessage::Request(request) = &mut changed
        && let ClientRequest::CallToolRequest(call) = &mut request.request
        && let Value::Object(arguments) = rewritten["params"]["arguments"].take()
    {
        call.params.arguments = Some(arguments);
        return Ok(changed);
    }
    Err(NotApplied::Unexpected)
}

/// The answer as its directive wants it; as the server gave it where that can't be, or where the session has stopped.
pub(super) fn change_output(shim: &Shim, directive: Directive, caller: &Caller, answer: Rx) -> Rx {
    let changed = shim.unharmed(|| match directive.act()? {
        Act::RewriteOutput(rewrite) => changed_output(&rewrite, caller, &answer),
        Act::Proceed | Act::Fail(_) | Act::RewriteInput(_) => Err(NotApplied::Adapter),
    });
    match changed {
        Ok(changed) => {
            directive.applied(&caller.call(), Duration::ZERO);
            changed
        }
        Err(why) => {
            directive.not_applied(&caller.call(), why);
            answer
        }
    }
}

fn changed_output(
    rewrite: &OutputRewrite<'_>,
    caller: &Caller,
    answer: &Rx,
) -> Result<Rx, NotApplied> {
    let body = serde_json::to_vec(answer).map_err(|_| NotApplied::Adapter)?;
    let changed = rewrite::output(rewrite, caller.point(), Shape::McpJsonRpc, &body)?;
    let changed: Rx = serde_json::from_slice(&changed).map_err(|_| NotApplied::Adapter)?;
    // What the client's types can't tell apart would reach nobody.
    let reaches = serde_json::to_vec(&changed).is_ok_and(|changed| changed != body);
    if reaches { Ok(changed) } else { Err(NotApplied::NothingToDamage) }
}
