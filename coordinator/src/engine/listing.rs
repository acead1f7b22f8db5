//! Sessions in the order in which they were created, so that a page of the newest costs a page; and by the request that
//! made them, so that no request makes two.
//!
//! Derived from the fold, and so in no snapshot. Not here: how pages are named ([`crate::api`]).

use std::collections::BTreeMap;

use squall_domain::event::{CommandKind, Event};
use squall_domain::session::{Phase, Session};
use squall_domain::world::{Applied, Entry, World};
use squall_proto::vocabulary::id::{RequestId, SessionKey, TenantId};

use super::Engine;

/// What finds sessions other than by their key.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// By the sequence at which they were created; a record creates one session at most.
    by_age: BTreeMap<u64, SessionKey>,
    /// By the request that made them, in their log tenant.
    by_request: BTreeMap<(TenantId, RequestId), SessionKey>,
}

impl Listing {
    /// Of everything that is folded.
    pub(super) fn of(world: &World) -> Self {
        let mut listing = Self::default();
        world.sessions().for_each(|session| listing.add(session));
        listing
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
            self.by_age.retain(|sequence, key| {
                world.session(key).is_some_and(|session| session.created.sequence == *sequence)
            });
            self.by_request.retain(|_, key| world.session(key).is_some());
        }
        let Entry::Session(key, record) = entry else { return };
        let creates =
            record.events.iter().any(|recorded| matches!(recorded.event, Event::Created { .. }));
        let session = world.session(key).filter(|session| session.created.sequence == sequence);
        if let Some(session) = session.filter(|_| creates) {
            self.add(session);
        }
    }

    fn add(&mut self, session: &Session) {
        let Session { key, created, commands, .. } = session;
        self.by_age.insert(created.sequence, key.clone());
        for request in commands.of(CommandKind::Create) {
            self.by_request.insert((key.tenant.clone(), request.clone()), key.clone());
        }
    }

    /// The session of the log tenant that the request made.
    pub(super) fn made_by(&self, tenant: &TenantId, request: &RequestId) -> Option<&SessionKey> {
        self.by_request.get(&(tenant.clone(), request.clone()))
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
            .by_age
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
