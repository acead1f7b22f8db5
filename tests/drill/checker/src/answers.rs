//! What clients were told, against the log: what was acknowledged is there once, what is shown is what the log gives, and
//! all coordinators show the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::{Answer, ClientCall, Evidence, Shown};
use crate::fold::{Book, Moment, Phase, Session};
use crate::verdict::{Rule, Violations};

pub(crate) fn check(book: &Book, evidence: &Evidence, wrong: &mut Violations) {
    for call in &evidence.calls {
        if let Answer::Done(shown) = &call.answer {
            if call.op != "get" {
                acknowledged(book, call, shown.as_ref(), wrong);
            }
            if let Some(shown) = shown {
                let who = format!("client {} by coordinator {}", call.client, call.coordinator);
                is_shown(book, &call.subject, shown, &who, wrong);
            }
        }
    }
    invented(book, evidence, wrong);
    finals(book, evidence, wrong);
}

/// The commands on a subject: a session's, or a lever's.
pub(crate) fn commands<'a>(
    book: &'a Book,
    subject: &str,
) -> Option<&'a BTreeMap<String, (&'static str, u64)>> {
    match subject.strip_prefix("lever/") {
        Some(scope) => book.levers.get(scope).map(|lever| &lever.commands),
        None => book.sessions.get(subject).map(|session| &session.commands),
    }
}

fn acknowledged(book: &Book, call: &ClientCall, shown: Option<&Shown>, wrong: &mut Violations) {
    let at = || format!("{} of {} ({})", call.op, call.subject, call.request);
    match commands(book, &call.subject).and_then(|commands| commands.get(&call.request)) {
        Some((op, sequence)) => {
            wrong.require(*op == call.op, Rule::Acknowledged, || {
                format!("{}: the log says it was {op}", at())
            });
            let is_newer = shown.is_none_or(|shown| shown.revision >= *sequence);
            wrong.require(is_newer, Rule::Acknowledged, || {
                format!("{}: done at {sequence}, and shown as it was before", at())
            });
        }
        // A session that was stopped for good before is answered as it is.
        None if call.op == "abort" && was_stopped(book, call, shown) => {}
        None => wrong.add(Rule::Acknowledged, format!("{}: done, and not in the log", at())),
    }
}

fn was_stopped(book: &Book, call: &ClientCall, shown: Option<&Shown>) -> bool {
    let stopped = book.sessions.get(&call.subject).is_some_and(|session| session.stop.is_some());
    stopped && shown.is_some_and(|shown| shown.state == Phase::Aborted.name())
}

/// What stands in the log must have been asked for, and not only by attempts of which it was said that nothing was stored.
fn invented(book: &Book, evidence: &Evidence, wrong: &mut Violations) {
    let mut may_be: BTreeSet<(&str, &str)> = BTreeSet::new();
    for call in &evidence.calls {
        match &call.answer {
            Answer::Done(_) | Answer::Unknown(_) => {
                may_be.insert((&call.subject, &call.request));
            }
            Answer::Refused(_) | Answer::NothingStored(_) => {}
        }
    }
    let levers = book.levers.iter();
    let levers = levers.map(|(scope, lever)| (format!("lever/{scope}"), &lever.commands));
    let sessions = book.sessions.iter();
    let sessions = sessions.map(|(name, session)| (name.clone(), &session.commands));
    for (subject, commands) in levers.chain(sessions) {
        for (request, (op, sequence)) in commands {
            let asked = may_be.contains(&(subject.as_str(), request.as_str()));
            wrong.require(asked, Rule::Acknowledged, || {
                format!("record {sequence}: {op} of {subject} ({request}), which nobody asked for or who did was told it is not stored")
            });
        }
    }
}

fn is_shown(book: &Book, subject: &str, shown: &Shown, who: &str, wrong: &mut Violations) {
    let Some(session) = book.sessions.get(subject) else {
        return wrong.add(Rule::Acknowledged, format!("{subject}: shown to {who}, not in the log"));
    };
    let mut of_it = session.moments.iter().filter(|moment| moment.revision == shown.revision);
    let mut known = of_it.clone().peekable();
    if known.peek().is_none() {
        let lost = format!("{subject}: revision {} shown to {who}, not in the log", shown.revision);
        return wrong.add(Rule::Acknowledged, lost);
    }
    wrong.require(of_it.any(|moment| is(session, moment, shown)), Rule::I12, || {
        format!(
            "{subject}: {who} was shown {shown:?}; the log gives {:?}",
            known.collect::<Vec<_>>()
        )
    });
}

fn is(session: &Session, moment: &Moment, shown: &Shown) -> bool {
    let Moment { from: _, wall_ns: _, revision, phase, issued, refunded, proven } = moment;
    let budget = session.spec.budget;
    let available = budget.saturating_sub(issued.saturating_sub(*refunded));
    let state = phase.name().to_owned();
    let (issued, refunded, proven) = (*issued, *refunded, *proven);
    *shown == Shown { state, revision: *revision, budget, issued, refunded, available, proven }
}

fn finals(book: &Book, evidence: &Evidence, wrong: &mut Violations) {
    for known in &evidence.finals {
        let at = || format!("{}, by coordinator {} at the end", known.session, known.coordinator);
        let session = book.sessions.get(&known.session);
        let newest = session.and_then(|session| Some((session, session.moments.last()?)));
        match (&known.shown, newest) {
            (Some(shown), Some((session, newest))) => {
                wrong.require(is(session, newest, shown), Rule::I12, || {
                    format!("{}: {shown:?}; the log gives {newest:?}", at())
                });
            }
            (None, None) => {}
            (shown, _) => wrong.add(
                Rule::Acknowledged,
                format!("{}: shown {shown:?}, in the log: {}", at(), session.is_some()),
            ),
        }
    }
}
