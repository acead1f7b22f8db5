//! Who owns which partition: for speed, never for safety.
//!
//! Each replica says once a second that it lives; the owner of a partition is the highest of a rendezvous hash over the
//! replicas heard within 3 s. Two owners for a moment are harmless: compare-and-swap admits one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use squall_proto::subject::Partition;
use squall_proto::vocabulary::id::ReplicaId;
use squall_proto::vocabulary::time::BootNanos;

use super::{Engine, Now, Output};

/// A replica that was not heard for this long owns nothing.
const HEARD_WITHIN: Duration = Duration::from_secs(3);
/// How often a replica says that it lives.
const ALIVE_EVERY: Duration = Duration::from_secs(1);
/// Most replicas that are kept in mind: far more than any deployment has, so that garbage can't fill memory.
const MEMBERS_MAX: usize = 64;

/// The replicas that live, and what this one owns.
#[derive(Debug)]
pub(super) struct Members {
    me: ReplicaId,
    heard: BTreeMap<ReplicaId, BootNanos>,
    owned: BTreeSet<Partition>,
}

impl Members {
    pub(super) fn new(me: ReplicaId) -> Self {
        Self { me, heard: BTreeMap::new(), owned: BTreeSet::new() }
    }

    pub(super) fn heard(&mut self, replica: ReplicaId, now: BootNanos) {
        if replica != self.me
            && (self.heard.len() < MEMBERS_MAX || self.heard.contains_key(&replica))
        {
            self.heard.insert(replica, now);
        }
    }

    pub(super) fn owns(&self, partition: Partition) -> bool {
        self.owned.contains(&partition)
    }

    /// What this replica owns now, if that is news.
    fn settle(&mut self, now: BootNanos) -> Option<BTreeSet<Partition>> {
        self.heard.retain(|_, at| now.since(*at) < HEARD_WITHIN);
        let owned: BTreeSet<Partition> =
            Partition::all().filter(|partition| self.wins(*partition)).collect();
        if owned == self.owned {
            return None;
        }
        let before = std::mem::replace(&mut self.owned, owned);
        Some(self.owned.difference(&before).copied().collect())
    }

    /// Who owns the partition among the replicas that were heard lately and this one.
    pub(super) fn owner(&self, partition: Partition) -> &ReplicaId {
        owner(partition, self.heard.keys().chain([&self.me])).unwrap_or(&self.me)
    }

    fn wins(&self, partition: Partition) -> bool {
        self.owner(partition) == &self.me
    }
}

/// Which of `replicas` owns the partition when all of them hear each other; `None` of none.
#[must_use]
pub fn owner<'a>(
    partition: Partition,
    replicas: impl IntoIterator<Item = &'a ReplicaId>,
) -> Option<&'a ReplicaId> {
    replicas.into_iter().max_by_key(|replica| (weight(replica, partition), *replica))
}

/// Rendezvous ("highest random weight") hashing, Thaler and Ravishankar 1998, over BLAKE3.
fn weight(replica: &ReplicaId, partition: Partition) -> u64 {
    let hash = blake3::hash(format!("{replica}/{partition}").as_bytes());
    u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a BLAKE3 hash has 32 bytes"))
}

impl Engine {
    pub(super) fn members_tick(&mut self, now: Now) {
        if now.boot.since(self.alive_at) >= ALIVE_EVERY || self.alive_at == BootNanos::default() {
            self.alive_at = now.boot;
            self.out(Output::Alive);
        }
        if !self.is_live() {
            return;
        }
        let Some(gained) = self.members.settle(now.boot) else { return };
        let owned = self.members.owned.clone();
        self.out(Output::Own(owned));
        self.take_over(now, &gained);
    }
}
