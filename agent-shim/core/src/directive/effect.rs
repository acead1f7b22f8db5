//! From a fault and a request to what happens: every choice is drawn from the request.

use std::borrow::Cow;
use std::time::Duration;

use squall_proto::vocabulary::fault::{
    Behavior, Delay, ErrorCodes, Fault, MalformedOutput, ToolUnavailable, Unavailability,
    UncooperativeAgent,
};

use super::{Act, Effect, Failure, FailureKind};
use crate::draw::{self, Key, Question, RequestKey};
use crate::render::reason;
use crate::rewrite::{InputRewrite, OutputRewrite, REFUSALS};
use crate::site::Rule;

/// What a delay of 0, which the bounds of a distribution may hold, comes to: the smallest that can be written.
const HOLD_MIN: Duration = Duration::from_millis(1);

pub(super) fn of(rule: &Rule, request: RequestKey) -> Effect<'_> {
    let draws = Draws { rule, request };
    match &rule.experiment().fault {
        Fault::Latency(fault) => delayed(fault.delay, &draws),
        Fault::Error(fault) => now(Act::Fail(status(fault, &draws))),
        Fault::ToolUnavailable(fault) => unavailable(fault),
        Fault::UncooperativeAgent(fault) => uncooperative(fault, &draws),
        Fault::ContextTruncation(truncation) => now(Act::RewriteInput(InputRewrite { truncation })),
        Fault::MalformedOutput(fault) => now(Act::RewriteOutput(damage(fault, &draws))),
    }
}

struct Draws<'a> {
    rule: &'a Rule,
    request: RequestKey,
}

impl Draws<'_> {
    fn number(&self, question: Question) -> u32 {
        let live = &self.rule.live;
        let name = &self.rule.experiment().name;
        draw::draw(Key::experiment(question, live.seed(), live.key(), name), self.request)
    }

    fn one_of<'a, T>(&self, question: Question, values: &'a [T]) -> Option<&'a T> {
        values.get(draw::index(self.number(question), values.len()))
    }
}

/// Nothing but a hold. What is counted reached the agent, so it is never one of 0.
fn delayed(delay: Delay, draws: &Draws<'_>) -> Effect<'static> {
    let hold = draw::delay(delay, draws.number(Question::Delay)).max(HOLD_MIN);
    Effect { hold, act: Act::Proceed }
}

fn now(act: Act<'_>) -> Effect<'_> {
    Effect { hold: Duration::ZERO, act }
}

fn status<'a>(fault: &'a ErrorCodes, draws: &Draws<'_>) -> Failure<'a> {
    let code = draws.one_of(Question::Code, &fault.codes).copied().unwrap_or(500);
    Failure {
        kind: FailureKind::Status,
        http_status: code,
        message: fault.message.as_deref().map_or(Cow::Borrowed(reason(code)), Cow::Borrowed),
        retry_after: matches!(code, 429 | 503).then_some(Duration::from_secs(1)),
    }
}

fn unavailable(fault: &ToolUnavailable) -> Effect<'static> {
    let fail = |kind, http_status, message| {
        let retry_after = (http_status == 503).then_some(Duration::from_secs(1));
        let message = Cow::Borrowed(message);
        Act::Fail(Failure { kind, http_status, message, retry_after })
    };
    match fault.mode {
        Unavailability::Error => {
            now(fail(FailureKind::Unavailable, 503, "temporarily unavailable"))
        }
        Unavailability::Timeout => Effect {
            hold: Duration::from_millis(fault.timeout_ms),
            act: fail(FailureKind::Timeout, 504, "Request timed out"),
        },
        Unavailability::NotFound => now(fail(FailureKind::NotFound, 404, "Unknown tool")),
        Unavailability::Disconnect => now(fail(FailureKind::Disconnect, 502, "Connection closed")),
    }
}

fn uncooperative<'a>(fault: &'a UncooperativeAgent, draws: &Draws<'_>) -> Effect<'a> {
    let behavior = draws.one_of(Question::Behavior, &fault.behaviors).copied();
    let behavior = behavior.unwrap_or(Behavior::Refuse);
    if behavior == Behavior::Delay {
        return delayed(fault.delay, draws);
    }
    let own = draws.one_of(Question::Text, &fault.texts).map(String::as_str);
    let built_in = || draws.one_of(Question::Text, &REFUSALS).copied().unwrap_or(REFUSALS[0]);
    let text = own.unwrap_or_else(built_in);
    now(Act::RewriteOutput(OutputRewrite::Uncooperative { behavior, text, keep: fault.keep }))
}

fn damage<'a>(fault: &'a MalformedOutput, draws: &Draws<'_>) -> OutputRewrite<'a> {
    OutputRewrite::Damage { fault, salt: draws.number(Question::Damage) }
}
