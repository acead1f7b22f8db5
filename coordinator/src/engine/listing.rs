//! Sessions in the order in which they were created, so that a page of the newest costs a page.
//!
//! Derived from the fold, and so in no snapshot. Not here: how pages are named ([`crate::api`]).

use std::collections::BTreeMap;

use squall_domain::event::Event;
use squall_domain::session::Phase;
use squall_domain::world::{Applied, Entry, World};
use squall_proto::vocabulary::id::{SessionKey, TenantId};

use super::Engine;

/// Sessions by the sequence at which they were created; a record creates one session at most.
#[derive(Debug, Default)]
pub(super) struct Listing(BTreeMap<u64, SessionKey>);

impl Listing {
    /// Of everything that is folded.
    pub(super) fn of(world: &World) -> Self {
        let created = |session: &squall_domain::session::Session| {
            (session.created.sequence, session.key.clone())
        };
        Self(world.sessions().map(created).collect())
    }

    /// Follows the fold.
    pub(super) fn applied(
        &mut self,
        sequence: u64,
        entry: &Entry,
        applied: &Applied,
        world: &World,
    ) {
        if !applied.forgotten.is_empty() {
            self.0.retain(|_, key| world.session(key).is_some());
        }
        let Entry::Session(key, record) = entry else { return };
        let creates =
            record.events.iter().any(|recorded| matches!(recorded.event, Event::Created { .. }));
        let created_here =
            world.session(key).is_some_and(|session| session.created.sequence == sequence);
        if creates && created_here {
            self.0.insert(sequence, key.clone());
        }
    }
}

impl Engine {
    /// The newest sessions of a log tenant, or of all, in one of these phases (in any, if none is named), that were created
    /// before a sequence. Newest first; looks at no more than there are.
    pub(super) fn newest(
        &self,
        tenant: Option<&TenantId>,
        phases: &[Phase],
        before: Option<u64>,
        limit: usize,
    ) -> Vec<SessionKey> {
        self.listing
            .0
            .range(..before.unwrap_or(u64::MAX))
            .rev()
            .filter(|(_, key)| tenant.is_none_or(|tenant| key.tenant == *tenant))
            .filter(|(_, key)| {
                let session = self.world.session(key);
                session.is_some_and(|session| phases.is_empty() || phases.contains(&session.phase))
            })
            .take(limit)
            .map(|(_, key)| key.clone())
            .collect()
    }
}
