//! What the scenario says goes wrong, and how each of it ends.

use std::rc::Rc;
use std::time::Duration;

use squall_proto::vocabulary::message::{Command as Told, RefusedWhy, Reply, Request};

use super::{Event, ForShim, Stage, World};
use crate::clock::Moment;
use crate::scenario::{End, LogTrouble, What, When, Whose};

/// A connection that is cut is given up by its client after about this time, as pings stay unanswered.
const NOTICED: (Duration, Duration) = (Duration::from_millis(1_500), Duration::from_secs(6));

impl World {
    pub(crate) fn plan_happenings(&mut self) {
        let scenario = Rc::clone(&self.scenario);
        for (number, happening) in scenario.happenings.iter().enumerate() {
            if let When::At(ms) = happening.when {
                self.queue.add(Moment::at_ms(ms), Event::Happens(number));
            }
        }
    }

    /// A record was stored, or an append sent: what waits for just that happens.
    pub(crate) fn trigger(&mut self, was_stored: bool, session: Option<usize>) {
        let Some(session) = session else { return };
        let scenario = Rc::clone(&self.scenario);
        for (number, happening) in scenario.happenings.iter().enumerate() {
            let after_us = match happening.when {
                When::Stored { session: of, record, after_us } => {
                    (was_stored && of == session && record == self.stored[session])
                        .then_some(after_us)
                }
                When::Sent { session: of, append, after_us } => {
                    (!was_stored && of == session && append == self.sent[session])
                        .then_some(after_us)
                }
                When::At(_) => None,
            };
            if let Some(micros) = after_us {
                self.after(Duration::from_micros(micros), Event::Happens(number));
            }
        }
    }

    pub(crate) fn happens(&mut self, number: usize) {
        if self.stage != Stage::Trouble {
            return;
        }
        let scenario = Rc::clone(&self.scenario);
        let Some(happening) = scenario.happenings.get(number) else { return };
        self.trace.line(self.now, format_args!("happens {:?}", happening.what));
        self.coverage.count(name_of(&happening.what));
        let heals = match &happening.what {
            What::Weather(weather, ms) => {
                self.weather.push((number, *weather));
                Some(*ms)
            }
            What::Cut(end, way, ms) => {
                self.cuts.entry((*end, *way)).or_default().push(number);
                self.notice_cut(*end, *ms);
                Some(*ms)
            }
            What::Reconnect(shim, _) => {
                self.disconnected(*shim);
                None
            }
            What::Crash(shim, back) => {
                self.kill(*shim);
                if let Some(ms) = back {
                    self.after(Duration::from_millis(*ms), Event::Join(*shim));
                }
                None
            }
            What::Leave(shim, ms) => {
                self.leave(*shim);
                self.after(Duration::from_millis(600 + *ms), Event::Join(*shim));
                None
            }
            What::Fork(shim, ms) => {
                self.fork(*shim, Duration::from_millis(*ms));
                None
            }
            What::Restart(replica, ms) => {
                self.kill_replica(*replica);
                self.after(Duration::from_millis(*ms), Event::Boot(*replica));
                None
            }
            What::LoseSnapshot => {
                self.log.snapshot = None;
                None
            }
            What::TearSnapshot => {
                if let Some(kept) = &mut self.log.snapshot {
                    let half = kept.bytes.len() / 2;
                    kept.bytes.truncate(half);
                }
                None
            }
            What::Log(trouble, ms) => {
                self.log.trouble(number, *trouble);
                Some(*ms)
            }
            What::Depose(replicas, ms) => {
                replicas.iter().for_each(|replica| self.log.depose(*replica));
                Some(*ms)
            }
            What::Blind(ms) => {
                self.blind.push(number);
                self.goes_blind();
                Some(*ms)
            }
            What::Freeze(whose, ms) => {
                self.freeze(*whose, Duration::from_millis(*ms));
                None
            }
            What::SetWall(whose, step) => {
                let host = match whose {
                    Whose::Shim(shim) => &mut self.seats[*shim].host,
                    Whose::Replica(replica) => &mut self.replicas[*replica].host,
                };
                host.wall_off_ms += step;
                None
            }
            What::Command(session, command, via) => {
                self.give(*session, *command, *via);
                None
            }
            What::Engage(of, via) => {
                self.pull(*of, true, *via);
                None
            }
            What::Release(of, via) => {
                self.pull(*of, false, *via);
                None
            }
        };
        if let Some(ms) = heals {
            self.after(Duration::from_millis(ms), Event::Heals(number));
        }
    }

    /// The client of a cut connection finds out, if the cut is long enough.
    fn notice_cut(&mut self, end: End, ms: u64) {
        let End::Shim(shim) = end else { return };
        let noticed = self.dice.time(NOTICED.0, NOTICED.1);
        if noticed < Duration::from_millis(ms) {
            self.send_shim(shim, noticed, ForShim::Disconnected);
        }
    }

    fn freeze(&mut self, whose: Whose, time: Duration) {
        let until = self.now.plus(time);
        match whose {
            Whose::Shim(shim) => {
                let seat = &mut self.seats[shim];
                seat.host.frozen_until = seat.host.frozen_until.max(until);
                if let Some(process) = &seat.process {
                    let holder = process.holder.clone();
                    self.book.frozen(&holder);
                }
            }
            Whose::Replica(replica) => {
                let host = &mut self.replicas[replica].host;
                host.frozen_until = host.frozen_until.max(until);
            }
        }
    }

    pub(crate) fn heals(&mut self, number: usize) {
        let scenario = Rc::clone(&self.scenario);
        let Some(happening) = scenario.happenings.get(number) else { return };
        self.trace.line(self.now, format_args!("over {:?}", happening.what));
        match &happening.what {
            What::Weather(..) => self.weather.retain(|(of, _)| *of != number),
            What::Cut(end, way, _) => {
                if let Some(cuts) = self.cuts.get_mut(&(*end, *way)) {
                    cuts.retain(|of| *of != number);
                }
                if let End::Log(replica) = end {
                    self.kick_tail(*replica);
                    self.kick_evidence(*replica);
                }
            }
            What::Log(..) => {
                let held = self.log.heal(number, &mut self.log_dice);
                self.release(&held);
            }
            What::Depose(replicas, _) => {
                for replica in replicas {
                    let held = self.log.recognise(*replica, &mut self.log_dice);
                    self.release(&held);
                    self.kick_tail(*replica);
                }
            }
            What::Blind(_) => {
                self.blind.retain(|of| *of != number);
                (0..self.replicas.len()).for_each(|at| self.kick_evidence(at));
            }
            What::Reconnect(..)
            | What::Crash(..)
            | What::Leave(..)
            | What::Fork(..)
            | What::Restart(..)
            | What::LoseSnapshot
            | What::TearSnapshot
            | What::Freeze(..)
            | What::SetWall(..)
            | What::Command(..)
            | What::Engage(..)
            | What::Release(..) => {}
        }
    }

    /// Everything that lasts ends now.
    pub(crate) fn heal_all(&mut self) {
        let count = self.scenario.happenings.len();
        (0..count).for_each(|number| self.heals(number));
        for at in 0..self.replicas.len() {
            self.boot(at);
            self.kick_tail(at);
            self.kick_evidence(at);
        }
        (0..self.seats.len()).for_each(|at| self.join(at));
    }

    pub(crate) fn note_request(&mut self, request: &Request) {
        self.coverage.count(match request {
            Request::Hello(_) => "hellos",
            Request::Sync(_) => "syncs",
            Request::Ask(_) => "asks",
            Request::Renew(_) => "renewals",
            Request::Close(_) => "closes",
            Request::Inert(_) => "confirmations",
        });
    }

    pub(crate) fn note_reply(&mut self, reply: &Reply) {
        self.coverage.count(match reply {
            Reply::Grant(_) => "grants",
            Reply::Refused(refused) => match refused.why {
                RefusedWhy::Dry => "refused: dry",
                RefusedWhy::OutstandingCap => "refused: as many outstanding as may be",
                RefusedWhy::OutOfScope => "refused: out of scope",
                RefusedWhy::NotRunning => "refused: not running",
                RefusedWhy::Throttled => "refused: concurrency or rate",
                RefusedWhy::Invalid => "refused: invalid",
            },
            Reply::Renewed(_) => "leases lengthened",
            Reply::Unavailable(_) => "answers of not now",
            Reply::Welcome(_) | Reply::Plan(_) | Reply::Closed(_) | Reply::InertNoted(_) => return,
        });
    }

    pub(crate) fn note_command(&mut self, command: &Told) {
        self.coverage.count(match command {
            Told::Grant(_) => "grants sent after a takeover",
            Told::Abort { .. } => "aborts pushed",
            Told::Halt { .. } => "halts pushed",
            Told::Pause { .. } => "pauses told",
            Told::Dry(_) => "sessions said to be dry",
            Told::Refill { .. } => "sessions refilled",
            Told::Plan(_) | Told::Beat(_) | Told::RollCall => return,
        });
    }
}

const fn name_of(what: &What) -> &'static str {
    match what {
        What::Weather(..) => "trouble: weather",
        What::Cut(End::Shim(_), ..) => "trouble: a shim's link is cut",
        What::Cut(End::Replica(_), ..) => "trouble: a replica's link is cut",
        What::Cut(End::Log(_), ..) => "trouble: a link to the log is cut",
        What::Reconnect(..) => "trouble: a connection breaks",
        What::Crash(..) => "trouble: a process dies",
        What::Leave(..) => "trouble: a process leaves",
        What::Fork(..) => "trouble: a process forks",
        What::Restart(..) => "trouble: a replica restarts",
        What::LoseSnapshot => "trouble: the snapshot is lost",
        What::TearSnapshot => "trouble: the snapshot is torn",
        What::Log(LogTrouble::Leaderless, _) => "trouble: no leader",
        What::Log(LogTrouble::Slow, _) => "trouble: slow disk",
        What::Log(LogTrouble::Full, _) => "trouble: full log",
        What::Log(LogTrouble::Silent, _) => "trouble: full disk",
        What::Depose(..) => "trouble: a deposed leader",
        What::Blind(_) => "trouble: evidence is silent",
        What::Freeze(Whose::Shim(_), _) => "trouble: a shim's host stands still",
        What::Freeze(Whose::Replica(_), _) => "trouble: a replica's host stands still",
        What::SetWall(..) => "trouble: a wall clock is set",
        What::Command(..) => "commands given",
        What::Engage(..) => "levers engaged",
        What::Release(..) => "levers released",
    }
}
