//! What an agent does when a call goes wrong. Deterministic code where a product would ask a model.

use std::time::Duration;

use super::assignment::Temper;
use super::server::{Call, Failure, Server};

/// Retries, time-outs, and whether results are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    tries: u32,
    limit: Option<Duration>,
    first_backoff: Duration,
    second_ways: bool,
}

impl Policy {
    /// The policy of a temper.
    pub(crate) fn of(temper: Temper) -> Self {
        match temper {
            Temper::Fragile => {
                Self { tries: 1, limit: None, first_backoff: Duration::ZERO, second_ways: false }
            }
            Temper::Hardened => Self {
                tries: 3,
                limit: Some(Duration::from_secs(5)),
                first_backoff: Duration::from_millis(100),
                second_ways: true,
            },
        }
    }

    /// Whether another way is tried once all tries failed.
    pub(crate) fn has_second_ways(self) -> bool {
        self.second_ways
    }

    /// Calls until `read` can make something of the answer, or the tries are over.
    ///
    /// # Errors
    /// The failure of the last try.
    pub(crate) async fn call<T>(
        self,
        server: &mut Server,
        call: &Call,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Failure> {
        let mut backoff = self.first_backoff;
        for _ in 1..self.tries {
            match self.once(server, call, &read).await {
                Ok(value) => return Ok(value),
                Err(failure) => eprintln!("{}: {failure}; trying again", call.tool),
            }
            tokio::time::sleep(backoff).await;
            backoff *= 2;
        }
        self.once(server, call, &read).await
    }

    async fn once<T>(
        self,
        server: &mut Server,
        call: &Call,
        read: &impl Fn(&str) -> Option<T>,
    ) -> Result<T, Failure> {
        let text = server.call(call, self.limit).await?;
        read(&text).ok_or_else(|| Failure::Nonsense(text.chars().take(80).collect()))
    }
}
