//! Watching one thing: snapshots, coalesced, the newest wins.
//!
//! One task looks at each watched session, however many watch it; a watcher pulls, so that a slow one holds nothing but
//! its place. Not here: what a snapshot says ([`super::convert`]).

use std::sync::Arc;
use std::time::Duration;

use dashmap::{DashMap, Entry};
use futures::Stream;
use squall_proto::vocabulary::id::SessionKey;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::errors::Error;
use super::state;
use crate::engine::{SessionView, Stage};
use crate::replica::Handle;

/// Least time between two snapshots of the same state: four a second.
const EVERY: Duration = Duration::from_millis(250);
/// Least time between two looks at a session that changes all the time.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Most time between two looks: what no change announces (clocks that run) is seen then.
pub(crate) const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// A snapshot, or why there is none.
type Seen = Result<Arc<SessionView>, Error>;

/// What is watched at the moment.
#[derive(Clone, Debug)]
pub(crate) struct Watches {
    handle: Handle,
    /// Handles only: what is seen lies in the channels. No entry is held over an await.
    open: Arc<DashMap<SessionKey, watch::Sender<Option<Seen>>>>,
}

impl Watches {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, open: Arc::default() }
    }

    /// Snapshots of one session.
    fn follow(&self, key: &SessionKey) -> watch::Receiver<Option<Seen>> {
        match self.open.entry(key.clone()) {
            Entry::Occupied(open) => open.get().subscribe(),
            Entry::Vacant(place) => {
                let (sender, receiver) = watch::channel(None);
                place.insert(sender.clone());
                tokio::spawn(look(self.clone(), key.clone(), sender));
                receiver
            }
        }
    }

    /// Forgets a session that nobody watches any more; nobody can begin to in between.
    fn close(&self, key: &SessionKey) -> bool {
        self.open.remove_if(key, |_, sender| sender.receiver_count() == 0).is_some()
    }
}

/// Looks at a session whenever it changed, for all that watch it.
async fn look(watches: Watches, key: SessionKey, sender: watch::Sender<Option<Seen>>) {
    let mut changes = watches.handle.changes();
    let mut pace = tokio::time::interval(LOOK_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let seen = state::session(&watches.handle, &key).await.map(Arc::new);
        let is_over = seen.as_ref().map_or(true, |view| is_over(view));
        sender.send_if_modified(|before| {
            let is_new = match (&before, &seen) {
                (Some(Ok(before)), Ok(now)) => differ(before, now),
                (Some(Err(_)) | None, _) | (Some(Ok(_)), Err(_)) => true,
            };
            if is_new {
                *before = Some(seen);
            }
            is_new
        });
        tokio::select! {
            () = changed(&mut changes, &key) => {}
            () = tokio::time::sleep(LOOK_AT_LEAST_EVERY) => {}
            () = sender.closed() => {}
        }
        if is_over || sender.is_closed() {
            // A watcher that came meanwhile is looked at for; one that comes later starts anew.
            if watches.close(&key) {
                return;
            }
        }
    }
}

/// Waits for a change of the session. Whoever lags looks at the state anew, which holds everything.
async fn changed(changes: &mut broadcast::Receiver<Arc<[SessionKey]>>, key: &SessionKey) {
    loop {
        match changes.recv().await {
            Ok(keys) if keys.contains(key) => return,
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return,
            // The replica is gone; the next look says so.
            Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
        }
    }
}

/// Nothing can change any more but late evidence: the session has ended, and its stop, if there was one, is proven.
pub(crate) fn is_over(view: &SessionView) -> bool {
    match view.stage {
        Stage::None => view.session.phase.is_terminal(),
        Stage::Pushed | Stage::Aborted => false,
        Stage::Proven => true,
    }
}

/// When a stream ends though there is more to see.
#[derive(Debug)]
pub(crate) struct Until {
    /// The caller's deadline.
    pub(crate) deadline: Option<Instant>,
    /// The server shuts down.
    pub(crate) draining: CancellationToken,
    /// The stream's place among all streams.
    pub(crate) _place: OwnedSemaphorePermit,
}

impl Until {
    /// Why the stream has to end, once it has to.
    pub(crate) async fn over(&self) -> Error {
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = deadline => Error::Deadline,
            () = self.draining.cancelled() => Error::NotReady("the coordinator is shutting down".to_owned()),
        }
    }
}

/// One watcher of one session.
struct Watcher {
    seen: watch::Receiver<Option<Seen>>,
    until: Until,
    unsent: Option<Seen>,
    /// The newest snapshot that was sent, and when.
    sent: Option<(Instant, Arc<SessionView>)>,
    ended: bool,
}

/// Snapshots of a session: `first` at once, then every new state or stage at once, else four a second at most. Ends
/// after the session has ended and its stop, if there is one, is proven; with an error when the whole log is damaged,
/// since nothing proves anything any more then.
pub(crate) fn session(
    watches: &Watches,
    first: SessionView,
    until: Until,
) -> impl Stream<Item = Result<Arc<SessionView>, Error>> + use<> {
    let seen = watches.follow(&first.session.key);
    let unsent = Some(Ok(Arc::new(first)));
    let watcher = Watcher { seen, until, unsent, sent: None, ended: false };
    futures::stream::unfold(watcher, async |mut watcher| {
        if watcher.ended {
            return None;
        }
        let next = watcher.next().await;
        watcher.ended = next.as_ref().map_or(true, |view| is_over(view));
        Some((next, watcher))
    })
}

impl Watcher {
    async fn next(&mut self) -> Result<Arc<SessionView>, Error> {
        let sent = self.sent.as_ref().and_then(|(_, sent)| sent.log_damage.clone());
        if let Some(why) = sent {
            return Err(Error::LogDamaged(why));
        }
        loop {
            let due = match &self.unsent {
                Some(Ok(view)) => self.due(view),
                Some(Err(error)) => return Err(error.clone()),
                None => None,
            };
            if let Some(Ok(view)) =
                self.unsent.take_if(|_| due.is_none_or(|due| due <= Instant::now()))
            {
                self.sent = Some((Instant::now(), Arc::clone(&view)));
                return Ok(view);
            }
            self.pause(due).await?;
        }
    }

    /// When this snapshot may be sent; `None` for at once.
    fn due(&self, view: &SessionView) -> Option<Instant> {
        let (at, sent) = self.sent.as_ref()?;
        let is_urgent = sent.session.phase != view.session.phase
            || sent.stage != view.stage
            || sent.unread != view.unread
            || sent.log_damage != view.log_damage
            || is_over(view);
        (!is_urgent).then(|| *at + EVERY)
    }

    /// Waits for a newer snapshot, or until the one that waits may be sent.
    async fn pause(&mut self, due: Option<Instant>) -> Result<(), Error> {
        let Self { seen, until, .. } = self;
        let due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // The one that looks lives as long as somebody watches.
            changed = seen.changed() => changed.map_err(|_| Error::Internal("nobody looks at a watched session"))?,
            () = due => return Ok(()),
            error = until.over() => return Err(error),
        }
        let newer = self.seen.borrow_and_update().clone();
        if newer.as_ref().is_some_and(|newer| self.is_new(newer)) {
            self.unsent = newer;
        }
        Ok(())
    }

    /// The first snapshot may be newer than what was seen for other watchers, or the same.
    fn is_new(&self, seen: &Seen) -> bool {
        let Ok(seen) = seen else { return true };
        let waiting = self.unsent.as_ref().and_then(|unsent| unsent.as_ref().ok());
        let known = waiting.or(self.sent.as_ref().map(|(_, sent)| sent));
        known.is_none_or(|known| {
            seen.session.revision >= known.session.revision && differ(known, seen)
        })
    }
}

/// Whether two looks at a session show different things, but for the time.
fn differ(one: &SessionView, other: &SessionView) -> bool {
    let SessionView {
        session,
        sums,
        excess,
        samples,
        outstanding,
        stage,
        pushed_at,
        inert_by,
        unread,
        log_damage,
        owner,
        replica: _,
        at: _,
    } = one;
    *log_damage != other.log_damage
        || *unread != other.unread
        || *owner != other.owner
        || session.revision != other.session.revision
        || session.phase != other.session.phase
        || *stage != other.stage
        || *outstanding != other.outstanding
        || *pushed_at != other.pushed_at
        || inert_by.is_some() != other.inert_by.is_some()
        || *sums != other.sums
        || *excess != other.excess
        || samples.last() != other.samples.last()
}
