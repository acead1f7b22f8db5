//! The log of one session, as a stream: what stood in it, then what follows.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use squall_domain::world::Entry;
use squall_proto::subject::Subject;
use squall_proto::vocabulary::id::SessionKey;
use squall_proto::wire::v1;

use super::convert::event;
use super::errors::Error;
use super::state;
use super::watch::{LOOK_AT_LEAST_EVERY, Until, is_over};
use crate::engine::SessionView;
use crate::journal::{Journal, TailEvent, codec};
use crate::replica::Handle;

/// What of a session's log is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Sequence of the first record; 0 for the first there is.
    pub(crate) from: u64,
    /// Whether to wait for what follows.
    pub(crate) follow: bool,
}

/// One reader of one session's log.
struct Reader {
    handle: Handle,
    key: SessionKey,
    subject: Subject,
    tail: BoxStream<'static, TailEvent>,
    until: Until,
    follow: bool,
    /// Sequence of the newest record of the session, as far as known.
    newest: u64,
    /// Whether nothing can follow the newest record.
    is_over: bool,
    /// Newest record that was read.
    read: u64,
    ready: VecDeque<v1::LogEvent>,
    ended: bool,
}

/// The events of the session that `view` shows. The log is one stream for all sessions, so it is read from the session's
/// first record on.
pub(crate) fn session(
    handle: &Handle,
    journal: &Arc<dyn Journal>,
    view: &SessionView,
    wanted: Wanted,
    until: Until,
) -> impl Stream<Item = Result<v1::LogEvent, Error>> + use<> {
    let first = view.session.created.sequence.max(wanted.from);
    let reader = Reader {
        handle: handle.clone(),
        key: view.session.key.clone(),
        subject: Subject::SessionLog { session: view.session.key.clone() },
        tail: journal.tail(first.saturating_sub(1)),
        until,
        follow: wanted.follow,
        newest: view.session.revision,
        is_over: is_over(view),
        read: first.saturating_sub(1),
        ready: VecDeque::new(),
        ended: false,
    };
    futures::stream::unfold(reader, async |mut reader| {
        if reader.ended {
            return None;
        }
        let next = reader.next().await.transpose()?;
        reader.ended = next.is_err();
        Some((next, reader))
    })
}

impl Reader {
    async fn next(&mut self) -> Result<Option<v1::LogEvent>, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.read >= self.newest && self.is_at_end().await? {
                return Ok(None);
            }
            tokio::select! {
                event = self.tail.next() => self.take(event)?,
                () = tokio::time::sleep(LOOK_AT_LEAST_EVERY), if self.follow => {}
                error = self.until.over() => return Err(error),
            }
        }
    }

    /// Whether nothing follows what was read: not now, or, to one who follows, never.
    async fn is_at_end(&mut self) -> Result<bool, Error> {
        if self.follow && !self.is_over {
            let view = state::session(&self.handle, &self.key).await?;
            if let Some(why) = view.log_damage {
                return Err(Error::LogDamaged(why));
            }
            (self.newest, self.is_over) = (view.session.revision.max(self.newest), is_over(&view));
        }
        Ok(self.read >= self.newest && (self.is_over || !self.follow))
    }

    fn take(&mut self, event: Option<TailEvent>) -> Result<(), Error> {
        match event {
            Some(TailEvent::Entry(entry)) => {
                self.read = entry.sequence;
                if entry.subject != self.subject {
                    return Ok(());
                }
                match codec::decode(&entry.subject, &entry.bytes) {
                    Ok(Entry::Session(_, record)) => {
                        self.ready.extend(event::events(entry.sequence, &record));
                        Ok(())
                    }
                    Ok(Entry::Lever(..) | Entry::Unreadable(..) | Entry::Other) => Ok(()),
                    Err(error) => Err(Error::Log(format!("record {} {error}", entry.sequence))),
                }
            }
            Some(TailEvent::CaughtUp { .. } | TailEvent::Unreadable { .. }) => Ok(()),
            Some(TailEvent::Damaged { why }) => Err(Error::Log(why.to_string())),
            None => Err(Error::NotReady("the log can't be read any more".to_owned())),
        }
    }
}
