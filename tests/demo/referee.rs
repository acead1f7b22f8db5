//! The independent referee: which calls were tampered with, from what agents and servers wrote down themselves.
//!
//! It is given no plan, no count and no event of Squall's. A call was affected when the two sides tell different
//! stories: the server never saw it and yet it was answered, or it broke; the server saw other arguments; the agent
//! saw another answer; or it took the agent far longer than the server needed. Beside the records it knows only what
//! the operator did with his own hands: when he froze an agent, and when he aborted.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::record::{Digest, Entry, What};
use crate::round::Round;

/// Time between the two sides that no pipe and no scheduler explains: half of the demo's delays. Without what the writers
/// starved, 24 agents on two cores were measured to wait 323 ms at most with a load of 23, and 20 ms with a load of 6.
const DELAY_NS: u64 = 600_000_000;
/// The same for a call that was under way when the operator aborted: he waited until those that may be delayed had taken
/// twice as long, and a delay that he cut short is a delay.
const CUT_DELAY_NS: u64 = 250_000_000;
/// On the way back an answer is parsed between the two records: half a megabyte a second in a debug build on cores that
/// are ten times too busy.
const PARSE_NS_PER_BYTE: u64 = 2_000;

/// Both sides' records of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    /// The agent.
    pub(crate) agent: String,
    /// What the agent wrote down.
    pub(crate) near: Vec<Entry>,
    /// What stood before the server wrote down.
    pub(crate) far: Vec<Entry>,
}

/// An agent's own answers.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    /// The agent.
    pub(crate) agent: String,
    /// Its rounds.
    pub(crate) rounds: Vec<Round>,
}

/// An agent that the operator froze.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frozen {
    /// The agent.
    pub(crate) agent: String,
    /// From when, in nanoseconds of `CLOCK_BOOTTIME`.
    pub(crate) from_ns: u64,
    /// Until when.
    pub(crate) to_ns: u64,
}

/// What the operator did with his own hands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hands<'a> {
    /// Whom he froze.
    pub(crate) frozen: &'a [Frozen],
    /// When he aborted, in nanoseconds of `CLOCK_BOOTTIME`.
    pub(crate) aborted_ns: Option<u64>,
}

/// How a call was tampered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Effect {
    /// It took far longer than the server needed.
    Delayed,
    /// It was answered and the server never saw it.
    AnsweredForServer,
    /// The connection broke under it and the server never saw it.
    Broken,
    /// The server was given other arguments.
    ArgumentsChanged,
    /// The agent was given another answer.
    AnswerChanged,
}

/// One affected call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Affected {
    /// The agent.
    pub(crate) agent: String,
    /// The tool; `answer` for the agent's own answer.
    pub(crate) tool: String,
    /// What was done.
    pub(crate) effect: Effect,
    /// When the agent sent it, in nanoseconds of `CLOCK_BOOTTIME`.
    pub(crate) sent_ns: u64,
    /// When the tampering was over: the server had the call, or the agent had its answer.
    pub(crate) over_ns: u64,
    /// Time that neither the server nor the operator explains.
    pub(crate) unexplained_ns: u64,
}

/// What the referee found.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Judgement {
    /// Calls and answers that were looked at.
    pub(crate) looked_at: u64,
    /// Those that were affected.
    pub(crate) affected: Vec<Affected>,
    /// Longest unexplained time, on the way to the server, of a call that was not: how far the verdict is from noise.
    pub(crate) longest_noise_ns: u64,
}

impl Judgement {
    /// Affected calls of each effect.
    pub(crate) fn by_effect(&self) -> BTreeMap<Effect, u64> {
        let mut counts = BTreeMap::new();
        for affected in &self.affected {
            *counts.entry(affected.effect).or_default() += 1;
        }
        counts
    }
}

/// Judges every call and every answer.
pub(crate) fn judge(wires: &[Wire], answers: &[Answers], hands: Hands<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    for wire in wires {
        for story in stories(wire) {
            judgement.weigh(&wire.agent, &story, hands);
        }
    }
    for answer in answers {
        for round in &answer.rounds {
            judgement.weigh(&answer.agent, &Story::of_answer(round), hands);
        }
    }
    judgement
}

impl Judgement {
    fn weigh(&mut self, agent: &str, story: &Story<'_>, hands: Hands<'_>) {
        self.looked_at += 1;
        let Some(end) = story.end else { return };
        let unexplained = story.unexplained(agent, end.at_ns, hands.frozen);
        match story.effect(end, unexplained, hands.aborted_ns) {
            None => self.longest_noise_ns = self.longest_noise_ns.max(unexplained.there_ns),
            Some(effect) => self.affected.push(Affected {
                agent: agent.to_owned(),
                tool: story.tool.to_owned(),
                effect,
                sent_ns: story.sent.at_ns,
                over_ns: story.over_ns(effect, end),
                unexplained_ns: unexplained.there_ns + unexplained.back_ns,
            }),
        }
    }
}

/// One call as both sides tell it.
#[derive(Clone, Copy, Debug)]
struct Story<'a> {
    tool: &'a str,
    sent: Moment<'a>,
    /// What the agent got, if it got to know.
    end: Option<Ending<'a>>,
    received: Option<Moment<'a>>,
    answered: Option<Moment<'a>>,
    /// Time for which the agent was ready and had no core while the call was under way.
    starved_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Moment<'a> {
    at_ns: u64,
    /// Time for which the writer was ready and had no core, since its entry before.
    starved_ns: u64,
    message: &'a Digest,
}

/// How the agent's side of a call ended.
#[derive(Clone, Copy, Debug)]
struct Ending<'a> {
    at_ns: u64,
    how: How<'a>,
}

#[derive(Clone, Copy, Debug)]
enum How<'a> {
    Got(&'a Digest),
    GaveUp,
    Broke,
}

impl<'a> Story<'a> {
    fn of_answer(round: &'a Round) -> Self {
        let ready = Moment { at_ns: round.at_ns, starved_ns: 0, message: &round.draft };
        Self {
            tool: "answer",
            sent: ready,
            end: Some(Ending { at_ns: round.done_ns, how: How::Got(&round.sent) }),
            received: Some(ready),
            answered: Some(ready),
            starved_ns: 0,
        }
    }

    fn effect(
        &self,
        end: Ending<'_>,
        unexplained: Unexplained,
        aborted_ns: Option<u64>,
    ) -> Option<Effect> {
        match (self.received, end.how) {
            (None, How::Got(_)) => Some(Effect::AnsweredForServer),
            (None, How::Broke) => Some(Effect::Broken),
            (Some(received), _) if received.message.hash != self.sent.message.hash => {
                Some(Effect::ArgumentsChanged)
            }
            (Some(_), How::Got(got))
                if self.answered.is_none_or(|answer| answer.message.hash != got.hash) =>
            {
                Some(Effect::AnswerChanged)
            }
            (Some(_), How::Got(_) | How::Broke) | (_, How::GaveUp) => {
                let there_ns = self.sent.at_ns..self.received.map_or(end.at_ns, |m| m.at_ns);
                let least_ns = if aborted_ns.is_some_and(|at_ns| there_ns.contains(&at_ns)) {
                    CUT_DELAY_NS
                } else {
                    DELAY_NS
                };
                self.is_delayed(unexplained, least_ns).then_some(Effect::Delayed)
            }
        }
    }

    fn over_ns(&self, effect: Effect, end: Ending<'_>) -> u64 {
        match effect {
            Effect::Delayed | Effect::ArgumentsChanged => {
                self.received.map_or(end.at_ns, |received| received.at_ns)
            }
            Effect::AnsweredForServer | Effect::Broken | Effect::AnswerChanged => end.at_ns,
        }
    }

    fn is_delayed(&self, unexplained: Unexplained, there_ns: u64) -> bool {
        let parsed = self.answered.map_or(0, |answer| answer.message.bytes * PARSE_NS_PER_BYTE);
        unexplained.there_ns >= there_ns || unexplained.back_ns >= DELAY_NS + parsed
    }

    /// The agent's time, less the server's, less the time for which the operator had frozen the agent, less the time for
    /// which the agent or the recorder was ready and had no core.
    fn unexplained(&self, agent: &str, end_ns: u64, frozen: &[Frozen]) -> Unexplained {
        let thawed_ns = |from_ns: u64, to_ns: u64| {
            let frozen = frozen.iter().filter(|frozen| frozen.agent == agent);
            let overlap = |frozen: &Frozen| {
                to_ns.min(frozen.to_ns).saturating_sub(from_ns.max(frozen.from_ns))
            };
            to_ns.saturating_sub(from_ns).saturating_sub(frozen.map(overlap).sum())
        };
        let left_ns = |raw_ns: u64, writer: Option<Moment<'_>>| {
            let starved_ns = self.starved_ns + writer.map_or(0, |moment| moment.starved_ns);
            raw_ns.saturating_sub(starved_ns)
        };
        let there_ns = thawed_ns(self.sent.at_ns, self.received.map_or(end_ns, |m| m.at_ns));
        let back_ns = self.answered.map_or(0, |answer| thawed_ns(answer.at_ns, end_ns));
        Unexplained {
            there_ns: left_ns(there_ns, self.received),
            back_ns: left_ns(back_ns, self.answered),
        }
    }
}

/// Time of a call that the server can't account for.
#[derive(Clone, Copy, Debug)]
struct Unexplained {
    there_ns: u64,
    back_ns: u64,
}

/// Pairs the two sides by the call's id.
fn stories(wire: &Wire) -> Vec<Story<'_>> {
    let far = index(&wire.far);
    let near = index(&wire.near);
    let closed = wire.near.iter().find(|entry| matches!(entry.what, What::Closed));
    near.into_iter()
        .filter_map(|(id, near)| {
            let (tool, sent) = near.call?;
            let far = far.get(id).copied().unwrap_or_default();
            let broke = || {
                let closed = closed.filter(|closed| closed.at_ns >= sent.at_ns)?;
                Some((Ending { at_ns: closed.at_ns, how: How::Broke }, closed.starved_ns))
            };
            let end = near.end.or_else(broke);
            Some(Story {
                tool,
                sent,
                end: end.map(|(end, _)| end),
                received: far.call.map(|(_, call)| call),
                answered: far.answer,
                starved_ns: end.map_or(0, |(_, total)| total.saturating_sub(near.starved_ns)),
            })
        })
        .collect()
}

#[derive(Clone, Copy, Debug, Default)]
struct Side<'a> {
    call: Option<(&'a str, Moment<'a>)>,
    answer: Option<Moment<'a>>,
    /// How it ended here, and how long the writer had starved in all by then.
    end: Option<(Ending<'a>, u64)>,
    /// How long the writer had starved in all when the call passed.
    starved_ns: u64,
}

fn index(entries: &[Entry]) -> BTreeMap<&str, Side<'_>> {
    let mut sides: BTreeMap<&str, Side<'_>> = BTreeMap::new();
    // Calls and answers pass different threads of a recorder; each starves by itself.
    let (mut calls_ns, mut answers_ns) = (0, 0);
    for Entry { at_ns, starved_ns, what } in entries {
        let moment = |before_ns: &mut u64, message| {
            let since = starved_ns.saturating_sub(std::mem::replace(before_ns, *starved_ns));
            Moment { at_ns: *at_ns, starved_ns: since, message }
        };
        let ending = |how| (Ending { at_ns: *at_ns, how }, *starved_ns);
        match what {
            What::Call { id, tool, message } => {
                let side = sides.entry(id).or_default();
                side.call = Some((tool, moment(&mut calls_ns, message)));
                side.starved_ns = *starved_ns;
            }
            What::Answer { id, message, .. } => {
                let side = sides.entry(id).or_default();
                let answer = moment(&mut answers_ns, message);
                side.answer.get_or_insert(answer);
                side.end.get_or_insert(ending(How::Got(message)));
            }
            What::Cancel { id } => {
                sides.entry(id).or_default().end.get_or_insert(ending(How::GaveUp));
            }
            What::Closed | What::HungUp => {}
        }
    }
    sides
}

#[cfg(test)]
mod tests;
