//! Health for load balancers (`grpc.health.v1`), and readiness for our own calls: until the log was read to its end once,
//! a session that is not known may well exist.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::errors::Error;
use super::state;
use crate::replica::Handle;

/// Services that are healthy or not together; the empty name is the server as a whole.
const SERVICES: [&str; 3] = ["", "squall.v1.SessionService", "squall.v1.FleetService"];
/// How often the replica is asked.
const EVERY: Duration = Duration::from_millis(100);

/// Whether the log was read to its end once.
#[derive(Clone, Debug)]
pub(crate) struct Ready(watch::Receiver<Result<(), String>>);

impl Ready {
    /// `Ok` once the replica has answered requests. It stays so if the log is damaged later: then looking is all that is left.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.0.borrow().clone().map_err(Error::NotReady)
    }
}

/// Reports the replica's health until `draining`, then that nothing is served.
pub(crate) fn report(
    handle: Handle,
    mut reporter: HealthReporter,
    draining: CancellationToken,
) -> Ready {
    let (sender, receiver) = watch::channel(Err("the coordinator is still starting".to_owned()));
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        let mut serving = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = draining.cancelled() => break,
            }
            let health = match state::health(&handle).await {
                Ok(health) => health,
                Err(error) => Err(error.to_string()),
            };
            if serving.replace(health.is_ok()) != Some(health.is_ok()) {
                set(&reporter, health.is_ok()).await;
            }
            sender.send_if_modified(|ready| {
                let is_new = ready.is_err() && *ready != health;
                if is_new {
                    *ready = health;
                }
                is_new
            });
        }
        set(&reporter, false).await;
        // Whoever watches has been told, and would hold the server open until it is cut off.
        for service in SERVICES {
            reporter.clear_service_status(service).await;
        }
    });
    Ready(receiver)
}

async fn set(reporter: &HealthReporter, is_serving: bool) {
    let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}
