//! The snapshots of a session, through restarts of the coordinator.

use std::time::Duration;

use squall_proto::wire::v1::{Session, WatchSessionRequest};
use tokio::time::{Instant, sleep};
use tonic::Streaming;

use crate::cli::client::{Client, PATIENCE, may_pass};
use crate::cli::failure::Failure;

/// Wait before asking again a coordinator that is out of reach.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Follows one session.
pub(in crate::cli) struct Follow {
    client: Client,
    name: String,
    stream: Option<Streaming<Session>>,
    /// When it was last in reach; `None` before the first snapshot, when waiting would only hide a wrong address.
    in_reach: Option<Instant>,
}

impl Follow {
    /// Follows the session `name`.
    pub(in crate::cli) fn new(client: Client, name: &str) -> Self {
        Self { client, name: name.to_owned(), stream: None, in_reach: None }
    }

    /// The next snapshot; `None` once the session has ended and its stop, if there was one, is proven.
    ///
    /// # Errors
    /// When the coordinator refuses, or stays out of reach for longer than a restart takes.
    pub(in crate::cli) async fn next(&mut self) -> Result<Option<Session>, Failure> {
        loop {
            match self.step().await {
                Ok(session) => {
                    self.in_reach = Some(Instant::now());
                    return Ok(session);
                }
                Err(failure) => self.pause(failure).await?,
            }
        }
    }

    /// Whether the coordinator was in reach, and is not.
    pub(in crate::cli) fn is_lost(&self) -> bool {
        self.stream.is_none() && self.in_reach.is_some()
    }

    async fn step(&mut self) -> Result<Option<Session>, Failure> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let request = WatchSessionRequest { name: self.name.clone() };
                none.insert(self.client.sessions.watch_session(request).await?.into_inner())
            }
        };
        Ok(stream.message().await?)
    }

    async fn pause(&mut self, failure: Failure) -> Result<(), Failure> {
        self.stream = None;
        match self.in_reach {
            Some(at) if may_pass(&failure) && at.elapsed() < PATIENCE => {
                sleep(AGAIN_AFTER).await;
                Ok(())
            }
            Some(_) | None => Err(failure),
        }
    }
}
