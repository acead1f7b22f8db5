//! What the doors ask of the replica, with answers of the right type, and lists over bounded pieces.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use squall_proto::vocabulary::id::{SessionKey, TenantId};

use super::errors::Error;
use super::filter::States;
use crate::engine::{Answer, FleetView, HaltView, Order, OrderKind, Query, SessionView};
use crate::replica::Handle;

/// Sessions that are looked at in one piece: a view holds a session's samples too, and the loop answers nothing else
/// meanwhile.
const PIECE: usize = 64;
/// An answer of another kind than the question.
const MIXED_UP: Error = Error::Internal("the replica answered another question");

/// Does something and gives the session as it is then.
pub(crate) async fn order(handle: &Handle, order: Order) -> Result<(), Error> {
    let subject = match &order.kind {
        OrderKind::Create { key, .. } | OrderKind::Session { key, .. } => key.to_string(),
        OrderKind::Engage { scope, .. } | OrderKind::Release { scope, .. } => scope.to_string(),
    };
    match handle.order(order).await {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Order { subject, source }),
    }
}

/// One session.
pub(crate) async fn session(handle: &Handle, key: &SessionKey) -> Result<SessionView, Error> {
    match handle.query(Query::Session(key.clone())).await? {
        Answer::Session(Some(view)) => Ok(*view),
        Answer::Session(None) => Err(Error::NoSession(key.clone())),
        Answer::Sessions(_) | Answer::Fleet(_) | Answer::Halts(_) | Answer::Health(_) => {
            Err(MIXED_UP)
        }
    }
}

/// Connected shims, of one tenant or of all.
pub(crate) async fn fleet(handle: &Handle, tenant: Option<TenantId>) -> Result<FleetView, Error> {
    let Answer::Fleet(view) = handle.query(Query::Fleet(tenant)).await? else {
        return Err(MIXED_UP);
    };
    Ok(view)
}

/// Levers that were ever engaged.
pub(crate) async fn halts(handle: &Handle) -> Result<Vec<HaltView>, Error> {
    let Answer::Halts(halts) = handle.query(Query::Halts).await? else { return Err(MIXED_UP) };
    Ok(halts)
}

/// `Ok` when requests are answered, else why not.
pub(crate) async fn health(handle: &Handle) -> Result<Result<(), String>, Error> {
    let Answer::Health(health) = handle.query(Query::Health).await? else { return Err(MIXED_UP) };
    Ok(health)
}

/// One page of sessions, newest first, and the cursor of the next one.
pub(crate) struct Page {
    /// The sessions.
    pub(crate) sessions: Vec<SessionView>,
    /// Sequence at which the last one was created, if more follow.
    pub(crate) next: Option<u64>,
}

/// The newest sessions that were created before `before`. The replica lists them by key, so all of them are looked at;
/// only those of the page are kept.
pub(crate) async fn newest(
    handle: &Handle,
    tenant: Option<TenantId>,
    states: &States,
    before: Option<u64>,
    size: usize,
) -> Result<Page, Error> {
    let mut newest: BinaryHeap<Reverse<(u64, SessionKey)>> = BinaryHeap::new();
    each(handle, tenant, |view| {
        let created = view.session.created.sequence;
        if states.shows(view.session.phase) && before.is_none_or(|before| created < before) {
            newest.push(Reverse((created, view.session.key)));
            if newest.len() > size + 1 {
                newest.pop();
            }
        }
    })
    .await?;
    // The last one only shows that there is a next page.
    let more = newest.len() > size;
    let mut keys = newest.into_sorted_vec();
    keys.truncate(size);
    let next = keys.last().filter(|_| more).map(|Reverse((created, _))| *created);
    let mut sessions = Vec::with_capacity(keys.len());
    for Reverse((_, key)) in keys {
        sessions.push(session(handle, &key).await?);
    }
    Ok(Page { sessions, next })
}

/// Looks at every session, piece by piece.
async fn each(
    handle: &Handle,
    tenant: Option<TenantId>,
    mut look: impl FnMut(SessionView),
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let query = Query::Sessions { tenant: tenant.clone(), after, limit: PIECE };
        let Answer::Sessions(piece) = handle.query(query).await? else { return Err(MIXED_UP) };
        let is_last = piece.len() < PIECE;
        after = piece.last().map(|view| view.session.key.clone());
        piece.into_iter().for_each(&mut look);
        if is_last {
            return Ok(());
        }
    }
}
