//! Health for load balancers (`grpc.health.v1`), and readiness for our own calls: until the log was read to its end once,
//! a session that is not known may well exist.
//!
//! Healthy is a replica that answers and whose log does. That the log answers proves nothing (docs/protocol.md, rule 5); that
//! it doesn't shows that nothing can be stored.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::errors::Error;
use super::state;
use crate::journal::Journal;
use crate::replica::Handle;

/// Services that are healthy or not together; the empty name is the server as a whole.
const SERVICES: [&str; 3] = ["", "squall.v1.SessionService", "squall.v1.FleetService"];
/// How often the replica is asked.
const EVERY: Duration = Duration::from_millis(100);
/// How often the log is asked.
const ASK_LOG_EVERY: Duration = Duration::from_secs(2);
/// A log that is silent for longer is out of reach: a change of its leader takes 4 to 9 s (docs/protocol.md).
const SILENT_MAX: Duration = Duration::from_secs(12);

/// Whether the log was read to its end once.
#[derive(Clone, Debug)]
pub(crate) struct Ready(watch::Receiver<Result<(), Error>>);

impl Ready {
    /// Ready from the beginning.
    #[cfg(feature = "doors")]
    pub(crate) fn at_once() -> Self {
        Self(watch::channel(Ok(())).1)
    }

    /// `Ok` once the replica has answered requests. It stays so if the log is damaged later: then looking is all that is left.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.0.borrow().clone()
    }
}

/// Reports the replica's health until `draining`, then that nothing is served.
pub(crate) fn report(
    handle: Handle,
    journal: Arc<dyn Journal>,
    reporter: HealthReporter,
    draining: CancellationToken,
) -> Ready {
    let starting = Error::NotReady("the coordinator is still starting".to_owned());
    let (ready, receiver) = watch::channel(Err(starting));
    let (heard, log) = watch::channel(Instant::now());
    tokio::spawn(listen_to(journal, heard));
    let teller = Teller { handle, log, reporter, ready, serving: None };
    tokio::spawn(teller.tell_until(draining));
    Ready(receiver)
}

/// Tells whoever wants to know.
struct Teller {
    handle: Handle,
    /// When the log answered last.
    log: watch::Receiver<Instant>,
    reporter: HealthReporter,
    ready: watch::Sender<Result<(), Error>>,
    /// What was told last.
    serving: Option<bool>,
}

impl Teller {
    async fn tell_until(mut self, draining: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = draining.cancelled() => break,
            }
            let health = self.health().await;
            self.tell(health.is_ok()).await;
            self.ready.send_modify(|ready| {
                if ready.is_err() {
                    *ready = health;
                }
            });
        }
        self.tell(false).await;
        // Whoever watches has been told, and would hold the server open until it is cut off.
        for service in SERVICES {
            self.reporter.clear_service_status(service).await;
        }
    }

    async fn health(&self) -> Result<(), Error> {
        match state::health(&self.handle).await? {
            Ok(()) => answers(*self.log.borrow()),
            Err(why) => match state::log_damage(&self.handle).await? {
                Some(why) => Err(Error::LogDamaged(why)),
                None => Err(Error::NotReady(why)),
            },
        }
    }

    async fn tell(&mut self, is_serving: bool) {
        if self.serving.replace(is_serving) == Some(is_serving) {
            return;
        }
        let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in SERVICES {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

/// Asks the log now and then, until nobody wants to know any more.
async fn listen_to(journal: Arc<dyn Journal>, heard: watch::Sender<Instant>) {
    let mut ticks = tokio::time::interval(ASK_LOG_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = heard.closed() => return,
        }
        let answer = timeout(SILENT_MAX, journal.last_sequence()).await;
        if matches!(answer, Ok(Ok(_))) {
            heard.send_replace(Instant::now());
        }
    }
}

fn answers(heard: Instant) -> Result<(), Error> {
    match heard.elapsed() {
        silent if silent <= SILENT_MAX => Ok(()),
        silent => {
            Err(Error::NotReady(format!("the log has not answered for {} s", silent.as_secs())))
        }
    }
}
