//! Histories of client operations, per session and per lever: some order that fits real time must explain all answers.
//!
//! `stateright` searches for that order. Every attempt is a thread of its own. What a client was never told may have
//! happened where the log has it, at any time until somebody was shown it; what the coordinators did by themselves (a session
//! drained, ended, or was halted) is an operation, too, that happened some time after its record was offered to the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::time::Duration;

use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester, SequentialSpec};

use crate::answers::commands;
use crate::files::{Answer, ClientCall, Evidence};
use crate::fold::{Book, Phase, Session};
use crate::verdict::{Rule, Violations};

/// Longest search for an order. Histories have some dozens of operations, of which few overlap.
const SEARCH_MAX: Duration = Duration::from_secs(60);

pub(crate) fn check(book: &Book, evidence: &Evidence, wrong: &mut Violations) {
    let mut by_subject: BTreeMap<&str, Vec<&ClientCall>> = BTreeMap::new();
    for call in evidence.calls.iter().filter(|call| call.op != "get") {
        by_subject.entry(&call.subject).or_default().push(call);
    }
    for (subject, calls) in by_subject {
        let operations = operations(book, evidence, subject, &calls);
        let start = match subject.strip_prefix("lever/") {
            Some(_) => Object::Lever { engaged: false, done: BTreeSet::new() },
            None => Object::Session { phase: None, done: BTreeSet::new() },
        };
        match explained(start, operations.clone()) {
            Some(true) => {}
            Some(false) => wrong.add(Rule::Linearizable, format!("{subject}: {operations:#?}")),
            None => {
                wrong.add(Rule::Linearizable, format!("{subject}: not decided in {SEARCH_MAX:?}"));
            }
        }
    }
}

/// What was done, when it can have happened, and what was answered; `None` if it never returned.
#[derive(Clone, Debug)]
struct Operation {
    what: What,
    invoke_ns: u64,
    answer: Option<(u64, Said)>,
    /// Where it probably stands in the order: a hint that makes the search short.
    near_ns: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Command { op: String, request: String },
    Internal(Phase),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Done,
    Refused(String),
}

fn operations(
    book: &Book,
    evidence: &Evidence,
    subject: &str,
    calls: &[&ClientCall],
) -> Vec<Operation> {
    let in_log = commands(book, subject);
    let session = book.sessions.get(subject);
    let shown = shown(evidence, subject);
    let place = |request: &str| in_log.and_then(|all| all.get(request)).map(|(_, at)| *at);
    let mut operations = Vec::new();
    for call in calls {
        let what = What::Command { op: call.op.clone(), request: call.request.clone() };
        let at = place(&call.request);
        let seen = at.and_then(|at| first_shown(&shown, at));
        let answer = match &call.answer {
            Answer::Done(_) => Some((call.return_ns, Said::Done)),
            Answer::Refused(why) => Some((call.return_ns, Said::Refused(why.clone()))),
            Answer::Unknown(_) | Answer::NothingStored(_) if at.is_none() => continue,
            Answer::Unknown(_) | Answer::NothingStored(_) => {
                seen.filter(|seen| *seen > call.invoke_ns).map(|seen| (seen, Said::Done))
            }
        };
        let near_ns = at.and_then(|at| time_of(session, at, evidence)).unwrap_or(call.return_ns);
        let near_ns = near_ns.max(call.invoke_ns);
        operations.push(Operation { what, invoke_ns: call.invoke_ns, answer, near_ns });
    }
    for internal in session.map(|session| session.internals.as_slice()).unwrap_or_default() {
        let from_ns = evidence.run.clock.earliest(internal.wall_ns);
        let invoke_ns = from_ns.saturating_sub(CLOCKS_APART_NS);
        let what = What::Internal(internal.to);
        let near_ns = evidence.run.clock.latest(internal.wall_ns);
        operations.push(Operation { what, invoke_ns, answer: None, near_ns });
    }
    operations.sort_by_key(|operation| operation.near_ns);
    operations
}

/// The servers' and the drill's reading of one clock are never further apart.
const CLOCKS_APART_NS: u64 = 5_000_000;

/// Revisions that somebody was shown, with the time of the answer.
fn shown(evidence: &Evidence, subject: &str) -> Vec<(u64, u64)> {
    let of_it = evidence.calls.iter().filter(|call| call.subject == subject);
    of_it
        .filter_map(|call| match &call.answer {
            Answer::Done(Some(shown)) => Some((shown.revision, call.return_ns)),
            Answer::Done(None)
            | Answer::Refused(_)
            | Answer::NothingStored(_)
            | Answer::Unknown(_) => None,
        })
        .collect()
}

fn first_shown(shown: &[(u64, u64)], sequence: u64) -> Option<u64> {
    shown.iter().filter(|(revision, _)| *revision >= sequence).map(|(_, at_ns)| *at_ns).min()
}

fn time_of(session: Option<&Session>, sequence: u64, evidence: &Evidence) -> Option<u64> {
    let moment = session?.moments.iter().find(|moment| moment.from == sequence)?;
    Some(evidence.run.clock.latest(moment.wall_ns))
}

/// Whether some order explains the answers; `None` if that was not decided in time.
fn explained(start: Object, operations: Vec<Operation>) -> Option<bool> {
    let (answer, decided) = mpsc::channel();
    std::thread::spawn(move || {
        // Whoever waits may have given up.
        let _ = answer.send(is_linearizable(start, &operations));
    });
    decided.recv_timeout(SEARCH_MAX).ok()
}

fn is_linearizable(start: Object, operations: &[Operation]) -> bool {
    let mut tester = LinearizabilityTester::new(start);
    let mut moments = Vec::new();
    for (thread, operation) in operations.iter().enumerate() {
        // At the same time one begins before another returns: then either order is possible.
        moments.push((operation.invoke_ns, 0, thread));
        moments.extend(operation.answer.iter().map(|(at_ns, _)| (*at_ns, 1, thread)));
    }
    moments.sort_unstable();
    for (_, step, thread) in moments {
        let operation = &operations[thread];
        let kept = match (step, &operation.answer) {
            (1, Some((_, said))) => tester.on_return(thread, said.clone()).map(drop),
            _ => tester.on_invoke(thread, operation.what.clone()).map(drop),
        };
        if kept.is_err() {
            return false;
        }
    }
    tester.is_consistent()
}

/// A session or a lever as a single thread would see it.
#[derive(Clone, Debug)]
enum Object {
    Session { phase: Option<Phase>, done: BTreeSet<String> },
    Lever { engaged: bool, done: BTreeSet<String> },
}

impl SequentialSpec for Object {
    type Op = What;
    type Ret = Said;

    fn invoke(&mut self, what: &What) -> Said {
        match (self, what) {
            (Self::Session { phase, done }, What::Command { op, request }) => {
                if done.contains(request) {
                    return Said::Done;
                }
                match after(*phase, op) {
                    Ok(next) => {
                        // An abort of what is stopped already is written nowhere.
                        if *phase != Some(next) {
                            done.insert(request.clone());
                        }
                        *phase = Some(next);
                        Said::Done
                    }
                    Err(why) => Said::Refused(why.to_owned()),
                }
            }
            (Self::Session { phase, .. }, What::Internal(to)) => {
                if phase.is_some_and(|phase| goes_by_itself(phase, *to)) {
                    *phase = Some(*to);
                }
                Said::Done
            }
            (Self::Lever { engaged, done }, What::Command { op, request }) => {
                if done.contains(request) {
                    return Said::Done;
                }
                if op == "release" && !*engaged {
                    return Said::Refused("HALT_NOT_ENGAGED".to_owned());
                }
                done.insert(request.clone());
                *engaged = op == "engage";
                Said::Done
            }
            (Self::Lever { .. }, What::Internal(_)) => Said::Done,
        }
    }

    /// Shims that are not there and levers that stand elsewhere may refuse any start.
    fn is_valid_step(&mut self, what: &What, said: &Said) -> bool {
        let may_be_refused = ["HALT_ENGAGED", "INAPPLICABLE", "LOG_NOT_SYNCED"];
        if let (Self::Session { phase: Some(Phase::Draft), done }, What::Command { op, request }) =
            (&*self, what)
            && let Said::Refused(why) = said
            && op == "start"
            && may_be_refused.contains(&why.as_str())
        {
            return !done.contains(request);
        }
        self.invoke(what) == *said
    }
}

/// Where a command leads, or the reason of its refusal.
fn after(phase: Option<Phase>, op: &str) -> Result<Phase, &'static str> {
    let Some(phase) = phase else {
        return if op == "create" { Ok(Phase::Draft) } else { Err("SESSION_NOT_FOUND") };
    };
    match (op, phase) {
        ("create", _) => Err("SESSION_EXISTS"),
        ("start", Phase::Draft) | ("resume", Phase::Paused) => Ok(Phase::Running),
        ("pause", Phase::Running) => Ok(Phase::Paused),
        ("stop", Phase::Running | Phase::Paused) => Ok(Phase::Draining),
        ("abort", phase) if !phase.is_terminal() => Ok(Phase::Aborted),
        ("abort", Phase::Aborted) => Ok(Phase::Aborted),
        _ => Err("WRONG_STATE"),
    }
}

fn goes_by_itself(from: Phase, to: Phase) -> bool {
    match to {
        Phase::Draining => matches!(from, Phase::Running | Phase::Paused),
        Phase::Completed => matches!(from, Phase::Draining | Phase::Draft),
        Phase::Exhausted => matches!(from, Phase::Running | Phase::Draining),
        Phase::Aborted => !from.is_terminal(),
        Phase::Draft | Phase::Running | Phase::Paused => false,
    }
}
