//! How a session was stopped, and how it becomes certain.
//!
//! A person can tell three stages apart: pushed (not durable; only the replica that pushed knows), aborted (durable),
//! and stopped, proven: every holder confirmed this abort, or every lease is over for certain.
//!
//! A holder is who had an open grant when the stop came, or got one behind it, whether it is closed by now or not: a Close
//! says that no permit is left, and only an Inert that its sender knows of this abort (adr/0012).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall_proto::vocabulary::id::{AppendId, Holder};
use squall_proto::vocabulary::plan::AbortEpoch;
use squall_proto::vocabulary::time::UnixMillis;

use super::{Phase, Session, Stamp};
use crate::event::{AbortCause, Event, ProofKind};
use crate::lever::Engaged;

/// Most holders that a proof names: a record must stay far below 512 KiB, and a holder takes up to 200 bytes of it.
/// Which ones they are can always be read from [`Stop::unconfirmed`].
pub const OUT_OF_CONTACT_MAX: usize = 1000;

/// The record of an abort in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aborted {
    /// When and by whom.
    pub stamp: Stamp,
    /// The append that carried it: what a pushed abort named before it was durable.
    pub append: AppendId,
    /// Why.
    pub reason: String,
    /// What caused it.
    pub cause: AbortCause,
}

/// A holder's confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// When it was recorded, by the writer's wall clock.
    pub at: UnixMillis,
    /// Permits that the holder burned in all.
    pub used: u64,
    /// Time between the end of its last injection and its confirmation.
    pub last_injection_ago: Option<Duration>,
    /// Whether it came behind the proof: this holder was out of contact, and is back.
    pub late: bool,
}

/// A proof that the stop is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// When it was recorded, by the writer's wall clock.
    pub at: UnixMillis,
    /// How it is known.
    pub by: ProofKind,
    /// Holders that had not confirmed by then, the first [`OUT_OF_CONTACT_MAX`] of them.
    pub out_of_contact: Vec<Holder>,
}

/// A session's stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Stream sequence of the abort, of the lever that halted the session, or of the entry that showed the damage:
    /// numbers the stop.
    pub epoch: u64,
    /// The append of the lever that halted the session: what a pushed halt named before it was durable.
    pub lever: Option<AppendId>,
    /// The record of the abort; a halt has none until somebody appends it.
    pub record: Option<Aborted>,
    /// Holders of an open grant when the stop was folded, and of those that were issued behind it.
    pub holders: BTreeSet<Holder>,
    /// Who confirmed.
    pub confirmations: BTreeMap<Holder, Confirmation>,
    /// The proof, once there is one.
    pub proof: Option<Proof>,
}

impl Stop {
    pub(super) fn new(epoch: u64, holders: BTreeSet<Holder>) -> Self {
        let confirmations = BTreeMap::new();
        Self { epoch, lever: None, record: None, holders, confirmations, proof: None }
    }

    pub(super) fn by_lever(lever: &Engaged, holders: BTreeSet<Holder>) -> Self {
        Self { lever: Some(lever.append), ..Self::new(lever.sequence, holders) }
    }

    pub(super) fn aborted(
        &mut self,
        stamp: Stamp,
        append: AppendId,
        reason: String,
        cause: AbortCause,
    ) {
        self.record.get_or_insert(Aborted { stamp, append, reason, cause });
    }

    pub(super) fn confirmed(
        &mut self,
        holder: Holder,
        at: UnixMillis,
        used: u64,
        last_injection_ago: Option<Duration>,
    ) {
        let late = self.proof.is_some();
        let confirmation = Confirmation { at, used, last_injection_ago, late };
        self.confirmations.entry(holder).or_insert(confirmation);
    }

    /// Holders that did not confirm the stop so far: who is out of contact.
    pub fn unconfirmed(&self) -> impl Iterator<Item = &Holder> {
        self.holders.iter().filter(|holder| !self.confirmations.contains_key(holder))
    }

    pub(super) fn prove(&mut self, at: UnixMillis, by: ProofKind, out_of_contact: Vec<Holder>) {
        self.proof.get_or_insert(Proof { at, by, out_of_contact });
    }

    /// Whether `epoch`, as a shim knows it, is this stop.
    #[must_use]
    pub fn is(&self, epoch: AbortEpoch) -> bool {
        match epoch {
            AbortEpoch::Logged(sequence) => {
                sequence == self.epoch
                    || self.record.as_ref().is_some_and(|record| record.stamp.sequence == sequence)
            }
            AbortEpoch::Pushed(append) => {
                self.lever == Some(append)
                    || self.record.as_ref().is_some_and(|record| record.append == append)
            }
        }
    }
}

impl Session {
    /// The proof that is due, given whether every lease is over for certain by the owner's clock:
    /// (TTL + D) * (1 + rho) / (1 - rho) since a barrier that was sent after the stop was applied.
    ///
    /// Confirmations prove strict sessions with a whole log only: an eventual one has no grants, and a damaged log may
    /// lack some, so that nobody knows who runs it. A halt is proven once it is recorded: until then a grant may still
    /// lie behind the lever. Damage needs no record, since the damaged log may refuse it.
    #[must_use]
    pub fn prove(&self, leases_are_over: bool) -> Option<Event> {
        let stop = self.stop.as_ref()?;
        let damaged = self.phase == Phase::LogDamaged;
        if stop.proof.is_some() || (stop.record.is_none() && !damaged) {
            return None;
        }
        let out_of_contact: Vec<Holder> =
            stop.unconfirmed().take(OUT_OF_CONTACT_MAX).cloned().collect();
        if self.has_permits() && !damaged && out_of_contact.is_empty() {
            return Some(Event::StopProven { by: ProofKind::Confirmations, out_of_contact });
        }
        leases_are_over.then_some(Event::StopProven { by: ProofKind::Time, out_of_contact })
    }
}
