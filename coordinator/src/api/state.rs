//! What the doors ask of the replica, with answers of the right type, and lists over bounded pieces.

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

/// Why the whole log can't be trusted any more, where that is so.
pub(crate) async fn log_damage(handle: &Handle) -> Result<Option<String>, Error> {
    // No shim is a tenant's that has none.
    Ok(fleet(handle, Some(TenantId::fleet())).await?.log_damage)
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

/// The newest sessions that were created before `before`, asked for piece by piece.
pub(crate) async fn newest(
    handle: &Handle,
    tenant: Option<TenantId>,
    states: &States,
    before: Option<u64>,
    size: usize,
) -> Result<Page, Error> {
    // One more shows that there is a next page.
    let wanted = size + 1;
    let mut sessions: Vec<SessionView> = Vec::new();
    while sessions.len() < wanted {
        let limit = PIECE.min(wanted - sessions.len());
        let before = sessions.last().map(|view| view.session.created.sequence).or(before);
        let (tenant, phases) = (tenant.clone(), states.phases().to_vec());
        let query = Query::Sessions { tenant, phases, before, limit };
        let Answer::Sessions(piece) = handle.query(query).await? else { return Err(MIXED_UP) };
        let is_last = piece.len() < limit;
        sessions.extend(piece);
        if is_last {
            break;
        }
    }
    let more = sessions.len() > size;
    sessions.truncate(size);
    let next = sessions.last().filter(|_| more).map(|view| view.session.created.sequence);
    Ok(Page { sessions, next })
}
