//! The stage: a nats-server that stays, and a coordinator that can be killed and started again.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::{Instant, sleep};

use crate::process::{signal, tethered};
use crate::workshop::Workshop;

/// Ports from which an outgoing connection is never made, so that none is taken between the look and the use.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Longest start of a server.
const START_MAX: Duration = Duration::from_secs(20);

/// Servers on loopback.
#[derive(Debug)]
pub(crate) struct Stage {
    workshop: Workshop,
    ports: Ports,
    _nats: Child,
    coordinator: Child,
}

impl Stage {
    /// Starts nats-server and the coordinator.
    ///
    /// # Errors
    /// When one does not listen in time.
    pub(crate) async fn set(workshop: &Workshop) -> Result<Self> {
        let ports = Ports::free()?;
        let config = workshop.run.join("nats.conf");
        fs::write(&config, ports.nats_config(workshop))?;
        let mut nats = tethered(
            &workshop.program("demo-recorder"),
            &workshop.nats_server,
            &workshop.run.join("nats.log"),
        )?;
        let nats = nats.arg("--config").arg(config).spawn().context("start nats-server")?;
        listening(ports.nats).await.context("nats-server")?;
        let coordinator = coordinator(workshop, ports)?;
        let mut stage = Self { workshop: workshop.clone(), ports, _nats: nats, coordinator };
        stage.wait_for_coordinator().await?;
        Ok(stage)
    }

    /// Where shims connect.
    pub(crate) fn nats_url(&self) -> String {
        self.ports.nats_url()
    }

    /// Where clients connect.
    pub(crate) fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.api)
    }

    /// Kills the coordinator the hard way. Says whether it died of that.
    ///
    /// # Errors
    /// When it was gone already.
    pub(crate) async fn kill_coordinator(&mut self) -> Result<bool> {
        signal(&self.coordinator, Signal::KILL).context("the coordinator was gone already")?;
        let status = self.coordinator.wait().await?;
        Ok(status.signal() == Some(Signal::KILL.as_raw()))
    }

    /// Starts the coordinator again, over the same log.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub(crate) async fn start_coordinator(&mut self) -> Result<()> {
        self.coordinator = coordinator(&self.workshop, self.ports)?;
        self.wait_for_coordinator().await
    }

    async fn wait_for_coordinator(&mut self) -> Result<()> {
        tokio::select! {
            status = self.coordinator.wait() => {
                bail!("the coordinator ended with {}; see {}", status?, self.workshop.run.join("coordinator.log").display())
            }
            listening = listening(self.ports.api) => listening.context("the coordinator"),
        }
    }
}

fn coordinator(workshop: &Workshop, ports: Ports) -> Result<Child> {
    let mut command = tethered(
        &workshop.program("demo-recorder"),
        &workshop.program("squall"),
        &workshop.run.join("coordinator.log"),
    )?;
    command
        .args(["serve", "--replicas", "1", "--nats", &ports.nats_url()])
        .args(["--nats-monitoring", &format!("http://127.0.0.1:{}", ports.monitoring)])
        .args(["--listen", &format!("127.0.0.1:{}", ports.api)]);
    command.spawn().context("start the coordinator")
}

/// Ports on loopback.
#[derive(Clone, Copy, Debug)]
struct Ports {
    nats: u16,
    monitoring: u16,
    api: u16,
}

impl Ports {
    /// Three that are free, from a stretch that another demo of this host starts elsewhere.
    fn free() -> Result<Self> {
        let from = u16::try_from(std::process::id() % 600)? * 20 + PORTS.start;
        let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let mut ports = (from..PORTS.end).chain(PORTS.start..from).filter(free);
        let mut next = || ports.next().context("no free port on loopback");
        Ok(Self { nats: next()?, monitoring: next()?, api: next()? })
    }

    fn nats_url(self) -> String {
        format!("nats://127.0.0.1:{}", self.nats)
    }

    /// Every write goes through to disk: a strict session needs it.
    fn nats_config(self, workshop: &Workshop) -> String {
        let Self { nats, monitoring, api: _ } = self;
        let store = workshop.run.join("nats");
        format!(
            "listen: 127.0.0.1:{nats}\nhttp: 127.0.0.1:{monitoring}\n\
             jetstream {{ store_dir: {store:?}, sync_interval: always }}\n"
        )
    }
}

async fn listening(port: u16) -> Result<()> {
    let until = Instant::now() + START_MAX;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if Instant::now() > until {
            bail!("does not listen on port {port} after {START_MAX:?}");
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
