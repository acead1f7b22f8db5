//! The log of a session, as each coordinator lists it: what was acknowledged is in it, once, in the order of the answers.
//!
//! Whether a read through another replica shows an acknowledged command at once is not promised, and not judged: a replica may
//! be a moment behind. What it shows is a prefix of the same log ([`super::snapshot`]).

use squall_proto::wire::v1::LogEvent;

use super::account::Account;
use super::{Command, Judge, Kind, Outcome, Promise, Round};

impl Judge {
    /// The coordinator at `server` lists the log of this round. To be called once everything has ended.
    pub(in crate::cli::drill) fn log(&mut self, round: usize, server: &str, events: Vec<LogEvent>) {
        let name = self.rounds[round].name.clone();
        let known = std::mem::take(&mut self.rounds[round].log);
        if let Some(place) = differ(&known, &events) {
            let tell = |events: &[LogEvent]| {
                events.get(place).map(|event| format!("{} at {}", event.kind, event.sequence))
            };
            self.violated(Promise::Log, "coordinators list different logs", || {
                format!(
                    "{name}, event {place}, at {server}: {:?} and {:?}",
                    tell(&known),
                    tell(&events)
                )
            });
        }
        self.rounds[round].log = if events.len() > known.len() { events } else { known };
    }

    /// Judges the log of a round, once it was read. A log that could not be read is not judged.
    pub(in crate::cli::drill) fn settle_log(&mut self, round: usize) {
        let Round { name, log, newest, .. } = &self.rounds[round];
        let (name, log, newest) = (name.clone(), log.clone(), newest.clone());
        if log.is_empty() {
            self.untested(Promise::Log, format!("the log of {name} could not be read"));
            return;
        }
        self.order(&name, &log);
        let account = Account::of(&log, self.budget);
        for wrong in &account.wrong {
            self.violated(Promise::Bound, "the log breaks the rules of permits", || {
                format!("{name}: {wrong}")
            });
        }
        let last = log.last().map_or(0, |event| event.sequence);
        if let Some(budget) =
            newest.filter(|newest| newest.revision == last).and_then(|newest| newest.budget)
            && (budget.issued, budget.refunded) != (account.issued, account.refunded)
        {
            self.violated(Promise::Log, "permits as shown are not those of the log", || {
                let (issued, refunded) = (account.issued, account.refunded);
                format!("{name}: {budget:?}; by the log {issued} issued, {refunded} given back")
            });
        }
        self.commands_of(round, &name, &log, last);
    }

    fn order(&mut self, name: &str, log: &[LogEvent]) {
        if let Some(pair) = log.windows(2).find(|pair| pair[1].sequence < pair[0].sequence) {
            self.violated(Promise::Log, "the log is out of order", || {
                format!("{name}: {} before {}", pair[0].sequence, pair[1].sequence)
            });
        }
    }

    fn commands_of(&mut self, round: usize, name: &str, log: &[LogEvent], last: u64) {
        let of = |command: &&Command| command.round == round;
        let commands: Vec<Command> = self.commands.iter().filter(of).cloned().collect();
        for command in &commands {
            self.once(name, log, last, command);
        }
        self.in_order(name, log, &commands);
    }

    /// Done is once, refused is never, and what nobody answered is once at most.
    fn once(&mut self, name: &str, log: &[LogEvent], last: u64, command: &Command) {
        let Command { kind, request_id, outcome, .. } = command;
        let found: Vec<&LogEvent> =
            log.iter().filter(|event| event.request_id == *request_id).collect();
        let is_right = found.iter().all(|event| event.kind == kind.event());
        let count = found.len();
        let tell = || format!("{name}: {} {request_id}, {count} times", kind.event());
        // Who aborts what is aborted already is answered with that.
        let is_there = |event: &LogEvent| event.kind == kind.event();
        if *kind == Kind::Abort && count == 0 && log.iter().any(is_there) {
            return;
        }
        match outcome {
            // Its record may lie behind what this log shows.
            Outcome::Done { revision, .. } if count == 0 && *revision > last => {
                self.untested(Promise::Log, format!("the log of {name} was not read to its end"));
            }
            Outcome::Done { .. } if count == 0 => {
                self.violated(Promise::Log, "an acknowledged command is not in the log", tell);
            }
            Outcome::Done { revision, .. }
                if found.iter().any(|event| event.sequence > *revision) =>
            {
                self.violated(
                    Promise::Log,
                    "a command was answered before it was in the log",
                    tell,
                );
            }
            Outcome::Refused(_) if count > 0 => {
                self.violated(Promise::Log, "a refused command is in the log", tell);
            }
            Outcome::Done { .. } | Outcome::Refused(_) | Outcome::Unanswered => {}
        }
        if count > 1 || !is_right {
            self.violated(
                Promise::Log,
                "a command is in the log more than once, or as another",
                tell,
            );
        }
    }

    /// What was answered before another was sent stands before it.
    fn in_order(&mut self, name: &str, log: &[LogEvent], commands: &[Command]) {
        let place = |command: &Command| {
            let event = log.iter().find(|event| event.request_id == command.request_id)?;
            Some(event.sequence)
        };
        for earlier in commands {
            let Outcome::Done { at, .. } = earlier.outcome else { continue };
            for later in commands.iter().filter(|later| later.sent >= at) {
                let (Some(one), Some(other)) = (place(earlier), place(later)) else { continue };
                if one >= other {
                    self.violated(
                        Promise::Log,
                        "commands stand in another order than answered",
                        || {
                            let (first, then) = (earlier.kind.event(), later.kind.event());
                            format!(
                                "{name}: {first} at {one} was answered before {then} at {other}"
                            )
                        },
                    );
                }
            }
        }
    }
}

/// The first place where two lists of one log differ; one may be a part of the other.
fn differ(one: &[LogEvent], other: &[LogEvent]) -> Option<usize> {
    one.iter().zip(other).position(|(one, other)| one != other)
}
