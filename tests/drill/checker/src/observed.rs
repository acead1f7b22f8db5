//! What agents felt, each with the session that alone can have done it.

use std::collections::BTreeMap;

use crate::files::{AgentCall, Begin, End, Evidence, Felt, Life, Who};
use crate::fold::{Book, Session};
use crate::verdict::{Rule, Violations};

/// A call that was certainly affected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Injection<'a> {
    pub(crate) session: &'a str,
    pub(crate) who: &'a Who,
    pub(crate) begin: &'a Begin,
    pub(crate) end: &'a End,
}

/// A call that may have been affected by a session: its process was killed within it, or a fault that held it was cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unclear<'a> {
    pub(crate) session: &'a str,
    pub(crate) who: &'a Who,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed<'a> {
    pub(crate) injections: Vec<Injection<'a>>,
    pub(crate) unclear: Vec<Unclear<'a>>,
}

/// A call that nothing was done to takes less: what takes longer may have been held by a fault that was cut short.
const HELD_NS: u64 = 20_000_000;

impl<'a> Observed<'a> {
    pub(crate) fn of(book: &'a Book, evidence: &'a Evidence, wrong: &mut Violations) -> Self {
        let tools = Tools::of(book, evidence);
        let mut observed = Self::default();
        for life in &evidence.lives {
            for call in &life.calls {
                observed.call(&tools, life, call, wrong);
            }
        }
        observed
    }

    fn call(
        &mut self,
        tools: &Tools<'a>,
        life: &'a Life,
        call: &'a AgentCall,
        wrong: &mut Violations,
    ) {
        let (who, begin) = (&life.who, &call.begin);
        let Some(end) = &call.end else {
            return self.may_be(tools, who, begin, u64::MAX, false);
        };
        let at = || format!("{} ({}), call {}", who.agent, who.incarnation, begin.n);
        let session = match &end.felt {
            Felt::Nothing => {
                if end.at_ns.saturating_sub(begin.at_ns) >= HELD_NS {
                    self.may_be(tools, who, begin, end.at_ns, true);
                }
                return;
            }
            Felt::Marked(session) => tools.book.sessions.get(session),
            Felt::TimedOut | Felt::Broken | Felt::InputChanged | Felt::OutputChanged => {
                tools.newest(who, begin, end.at_ns)
            }
            Felt::Strange(what) => {
                return wrong.add(Rule::I13, format!("{}: {what}", at()));
            }
        };
        let Some(session) = session else {
            return wrong.add(Rule::I13, format!("{}: {:?} of no session", at(), end.felt));
        };
        wrong.require(!who.unarmed, Rule::I7, || {
            format!("{}: {:?} in a forked child", at(), end.felt)
        });
        self.injections.push(Injection { session: &session.name, who, begin, end });
    }

    /// Any session on the tool can have begun something that nobody saw.
    fn may_be(
        &mut self,
        tools: &Tools<'a>,
        who: &'a Who,
        begin: &Begin,
        until_ns: u64,
        only_holding: bool,
    ) {
        for session in tools.possible(who, begin, until_ns) {
            if !only_holding || session.spec.hold_ms > 0 {
                self.unclear.push(Unclear { session: &session.name, who });
            }
        }
    }

    /// Certain injections of each session.
    pub(crate) fn by_session(&self) -> BTreeMap<&'a str, Vec<&Injection<'a>>> {
        let mut by_session: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for injection in &self.injections {
            by_session.entry(injection.session).or_default().push(injection);
        }
        by_session
    }
}

/// The sessions on each tool. A drill never lets two of them live on one tool at a time.
struct Tools<'a> {
    book: &'a Book,
    evidence: &'a Evidence,
    by_tool: BTreeMap<&'a str, Vec<&'a Session>>,
}

impl<'a> Tools<'a> {
    fn of(book: &'a Book, evidence: &'a Evidence) -> Self {
        let mut by_tool: BTreeMap<&str, Vec<&Session>> = BTreeMap::new();
        for session in book.sessions.values().filter(|session| session.started_ns.is_some()) {
            for tool in &session.spec.tools {
                by_tool.entry(tool).or_default().push(session);
            }
        }
        for sessions in by_tool.values_mut() {
            sessions.sort_by_key(|session| session.started_ns);
        }
        Self { book, evidence, by_tool }
    }

    fn started<'b>(
        &'b self,
        who: &'b Who,
        begin: &Begin,
        until_ns: u64,
    ) -> impl DoubleEndedIterator<Item = &'a Session> + use<'a, 'b> {
        let sessions = self.by_tool.get(begin.tool.as_str()).map(Vec::as_slice).unwrap_or_default();
        let started = move |session: &Session| {
            let started = session.started_ns.unwrap_or(u64::MAX);
            self.evidence.run.clock.earliest(started) <= until_ns
        };
        let sessions = sessions.iter().copied();
        sessions.filter(move |session| session.covers(&who.tenant) && started(session))
    }

    /// The session that was started last, when the call had ended.
    fn newest(&self, who: &Who, begin: &Begin, end_ns: u64) -> Option<&'a Session> {
        self.started(who, begin, end_ns).next_back()
    }

    /// Sessions that weren't over for certain when the call began.
    fn possible<'b>(
        &'b self,
        who: &'b Who,
        begin: &'b Begin,
        until_ns: u64,
    ) -> impl Iterator<Item = &'a Session> + use<'a, 'b> {
        let over = |session: &Session| {
            let over = session.ended_ns.or(session.proven_ns);
            over.is_some_and(|over| self.evidence.run.clock.latest(over) < begin.at_ns)
        };
        self.started(who, begin, until_ns).filter(move |session| !over(session))
    }
}
