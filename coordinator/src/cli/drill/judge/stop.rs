//! Stops and pauses: acknowledged, proven, and nothing after.
//!
//! When a fault happened is known from its shim's sample, by the wall clock of its host: hosts are taken to be within
//! [`CLOCKS_APART`] of each other.

use std::time::Duration;

use jiff::Timestamp;
use squall_proto::vocabulary::limits::{CANCEL_GRACE, LEASE_TTL};
use squall_proto::vocabulary::time::stretched;
use squall_proto::wire::v1::timeline_sample::What;
use squall_proto::wire::v1::{LogEvent, ProvenBy, Session, StopReport, StopStage, TimelineSample};

use super::account::Account;
use super::{Judge, Kind, Promise};
use crate::cli::moment::read;

/// How far apart the wall clocks of hosts may be: NTP keeps them within some tens of milliseconds.
const CLOCKS_APART: Duration = Duration::from_secs(1);

impl Judge {
    /// Judges how a round was stopped, once its log and report were read. `answers` says whether any coordinator does.
    pub(in crate::cli::drill) fn settle_stop(&mut self, round: usize, answers: bool) {
        let Some(session) = self.rounds[round].newest.clone() else { return };
        let stop = session.stop.clone().unwrap_or_default();
        let is_ordered =
            self.done(round, Kind::Abort).is_some() || self.rounds[round].halt.is_some();
        if is_ordered && stop.stage() != StopStage::StoppedProven {
            self.not_proven(&session, answers);
        }
        if let Some(halt) = self.rounds[round].halt.filter(|halt| *halt != stop.epoch) {
            self.violated(
                Promise::Stop,
                "a halt that was acknowledged did not stop a session",
                || {
                    format!(
                        "{}: the halt is {halt}, the session's stop {}",
                        session.name, stop.epoch
                    )
                },
            );
        }
        self.after_the_stop(round, &session, &stop);
        self.in_a_pause(round);
        self.burned(round, &session);
    }

    fn not_proven(&mut self, session: &Session, answers: bool) {
        let name = &session.name;
        if answers {
            self.violated(Promise::Stop, "a stop was not proven in time", || name.clone());
        } else {
            let why = format!("whether the stop of {name} is proven: no coordinator answers");
            self.untested(Promise::Stop, why);
        }
    }

    /// No fault ends after the proof, nor later than T1 allows after the abort. A process that slept is outside of both
    /// (docs/protocol.md, shim rule 5), and is known by its late confirmation.
    fn after_the_stop(&mut self, round: usize, session: &Session, stop: &StopReport) {
        let bound = stretched(LEASE_TTL) + CANCEL_GRACE + CLOCKS_APART;
        let proven = read(stop.proven_at.as_ref()).and_then(|at| at.checked_add(CLOCKS_APART).ok());
        let durable = read(stop.durable_at.as_ref()).and_then(|at| at.checked_add(bound).ok());
        let slept = |sample: &TimelineSample| {
            let late = stop.confirmed.iter().filter(|holder| holder.late);
            late.into_iter()
                .any(|holder| (&holder.tenant, &holder.shim) == (&sample.tenant, &sample.shim))
        };
        for (at, sample) in self.applied(round) {
            if slept(&sample) {
                self.remark(format!(
                    "{}: {}/{} slept through the stop and ended a fault when it woke",
                    session.name, sample.tenant, sample.shim
                ));
            } else if proven.is_some_and(|proven| at > proven) {
                let tell = || tell(session, &sample, at, stop.proven_at.as_ref());
                self.violated(Promise::Stop, "a fault ended after the stop was proven", tell);
            } else if durable.is_some_and(|durable| at > durable) {
                let tell = || tell(session, &sample, at, stop.durable_at.as_ref());
                self.violated(
                    Promise::Stop,
                    "a fault ended later than a lease after the abort",
                    tell,
                );
            }
        }
    }

    /// A shim hears of a pause at the latest when its lease is over.
    fn in_a_pause(&mut self, round: usize) {
        let name = self.rounds[round].name.clone();
        let moment = |kind: Kind| {
            let mut log = self.rounds[round].log.iter();
            let event: Option<&LogEvent> = log.find(|event| event.kind == kind.event());
            event.and_then(|event| read(event.time.as_ref()))
        };
        let bound = stretched(LEASE_TTL) + CANCEL_GRACE + CLOCKS_APART;
        let from = moment(Kind::Pause).and_then(|at| at.checked_add(bound).ok());
        let to = moment(Kind::Resume).and_then(|at| at.checked_sub(CLOCKS_APART).ok());
        let (Some(from), Some(to)) = (from, to) else { return };
        for (at, sample) in self.applied(round) {
            if at > from && at < to {
                self.violated(Promise::Stop, "a fault ended in a pause", || {
                    format!("{name}: {}/{} at {at}, paused until {to}", sample.tenant, sample.shim)
                });
            }
        }
    }

    /// What is counted was burned before the holders confirmed.
    fn burned(&mut self, round: usize, session: &Session) {
        if self.rounds[round].log.is_empty() {
            return;
        }
        let account = Account::of(&self.rounds[round].log, self.budget);
        let counts = session.counts.unwrap_or_default();
        let counted = counts.applied.saturating_add(counts.not_applicable);
        if counted > account.burned() {
            self.violated(
                Promise::Stop,
                "more permits were used than their holders confirmed",
                || format!("{}: {counted} counted, {} confirmed", session.name, account.burned()),
            );
        }
    }

    /// Faults that were applied, with the moment at which each ended.
    fn applied(&self, round: usize) -> Vec<(Timestamp, TimelineSample)> {
        let report = self.rounds[round].report.as_ref();
        let samples = report.into_iter().flat_map(|report| &report.samples);
        let applied = samples.filter(|sample| matches!(sample.what, Some(What::Applied(_))));
        applied.filter_map(|sample| Some((read(sample.time.as_ref())?, sample.clone()))).collect()
    }

    /// Whether a stop of this round, ordered while permits were in hands, was confirmed by all who held them.
    pub(in crate::cli::drill) fn is_confirmed(&self, round: usize) -> bool {
        let stop = self.rounds[round].newest.as_ref().and_then(|session| session.stop.as_ref());
        stop.is_some_and(|stop| {
            stop.proven_by() == ProvenBy::Confirmations && stop.holder_count > 0
        })
    }
}

fn tell(
    session: &Session,
    sample: &TimelineSample,
    at: Timestamp,
    stop: Option<&prost_types::Timestamp>,
) -> String {
    let stop = read(stop).map(|stop| stop.to_string()).unwrap_or_default();
    format!(
        "{}: {}/{} at {at} by its clock, {stop} by the coordinator's",
        session.name, sample.tenant, sample.shim
    )
}
