//! The lines to all coordinators of a deployment: a command goes to one after another until somebody answers, under one
//! request id, so that it is done once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::{Request, Response, Status};

use crate::cli::client::{Client, may_pass};
use crate::cli::failure::{Exit, Failure};

/// Longest wait for one answer before the next coordinator is asked: what is acknowledged takes some writes of the log.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Pause before the next one is asked.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// How long a coordinator may be behind another one, and refuse what that one would do.
const BEHIND_MAX: Duration = Duration::from_secs(3);

/// One coordinator.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// Its address, as it was given.
    pub(super) url: String,
    /// Reaches it.
    pub(super) client: Client,
}

/// All coordinators that were named.
#[derive(Debug)]
pub(super) struct Lines {
    /// One at least.
    pub(super) servers: Vec<Server>,
    turn: AtomicUsize,
}

/// What came of asking them.
#[derive(Debug)]
pub(super) enum Answer<T> {
    /// One answered: the one at which address, and what.
    Done(String, Box<T>),
    /// It was refused, and nobody had left it unanswered before: it is not done.
    Refused(Failure),
    /// Nobody said in time; it may be done.
    Silence(Failure),
}

/// A request that is given up after [`ANSWER_WITHIN`].
pub(super) fn soon<T>(message: T) -> Request<T> {
    within(message, Duration::ZERO)
}

/// A request that is given up [`ANSWER_WITHIN`] after `wait`.
pub(super) fn within<T>(message: T, wait: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ANSWER_WITHIN.saturating_add(wait));
    request
}

impl Lines {
    /// Lines to these coordinators.
    pub(super) fn new(servers: Vec<Server>) -> Self {
        Self { servers, turn: AtomicUsize::new(0) }
    }

    /// Asks one after another for `patience`. `missed` hears of each that didn't answer.
    pub(super) async fn ask<T>(
        &self,
        patience: Duration,
        mut missed: impl FnMut(&Server, &Failure),
        call: impl AsyncFn(Client) -> Result<Response<T>, Status>,
    ) -> Answer<T> {
        let began = Instant::now();
        let mut is_open = false;
        loop {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let server = &self.servers[turn % self.servers.len()];
            let failure = match call(server.client.clone()).await {
                Ok(answer) => {
                    return Answer::Done(server.url.clone(), Box::new(answer.into_inner()));
                }
                Err(status) => Failure::from(status),
            };
            let is_silent = may_pass(&failure);
            if is_silent {
                missed(server, &failure);
                is_open = true;
            }
            let patience = if is_silent { patience } else { BEHIND_MAX.min(patience) };
            if began.elapsed() >= patience || is_final(&failure) {
                return if is_open { Answer::Silence(failure) } else { Answer::Refused(failure) };
            }
            sleep(AGAIN_AFTER).await;
        }
    }
}

/// Whether no coordinator that is less behind would do it.
fn is_final(failure: &Failure) -> bool {
    match failure.exit() {
        Exit::BadInput => true,
        Exit::Failed | Exit::NotFound | Exit::Unavailable | Exit::NotProven | Exit::Closed => false,
    }
}
