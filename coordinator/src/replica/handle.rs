//! How the doors reach the replica that runs in this process.

use std::sync::Arc;

use squall_proto::vocabulary::id::SessionKey;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::engine::{Answer, Order, OrderError, Query, SessionKeyOrScope};

/// Most calls of clients that wait for the loop: more are told that it is busy.
const CALLS_MAX: usize = 4096;
/// Most changes that a slow watcher may lag behind; it then looks at the state anew, which holds everything.
const CHANGES_MAX: usize = 1024;

/// The replica has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator is shutting down")]
pub struct Gone;

/// A call on its way into the loop.
#[derive(Debug)]
pub(super) enum Call {
    Order(Box<Order>, oneshot::Sender<Result<SessionKeyOrScope, OrderError>>),
    Query(Query, oneshot::Sender<Answer>),
}

/// Sessions that changed, together.
pub(super) type Changes = Arc<[SessionKey]>;

/// Reaches a running replica. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    calls: mpsc::Sender<Call>,
    changes: broadcast::Sender<Changes>,
}

/// The loop's ends of a [`Handle`].
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) calls: mpsc::Receiver<Call>,
    pub(super) changes: broadcast::Sender<Changes>,
}

impl Handle {
    pub(super) fn new() -> (Self, Inbox) {
        let (calls, received) = mpsc::channel(CALLS_MAX);
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        (Self { calls, changes: changes.clone() }, Inbox { calls: received, changes })
    }

    /// Reaches a replica that has stopped.
    #[cfg(feature = "doors")]
    pub(crate) fn gone() -> Self {
        Self::new().0
    }

    /// Does something, once, and waits until it is durable.
    ///
    /// # Errors
    /// [`OrderError`]; also when the replica stops meanwhile.
    pub async fn order(&self, order: Order) -> Result<SessionKeyOrScope, OrderError> {
        let (sender, receiver) = oneshot::channel();
        let gone = || OrderError::TimedOut(Gone.to_string());
        self.calls.send(Call::Order(Box::new(order), sender)).await.map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }

    /// Asks the folded state.
    ///
    /// # Errors
    /// [`Gone`] when the replica stops meanwhile.
    pub async fn query(&self, query: Query) -> Result<Answer, Gone> {
        let (sender, receiver) = oneshot::channel();
        self.calls.send(Call::Query(query, sender)).await.map_err(|_| Gone)?;
        receiver.await.map_err(|_| Gone)
    }

    /// Sessions that change from now on. A receiver that lags looks at the state anew.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Arc<[SessionKey]>> {
        self.changes.subscribe()
    }
}
