//! The house: three servers, three coordinators and the agents, each a process of its own, and the links between them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

use crate::assignment::Assignment;
use crate::clock::Clocks;
use crate::network::{Network, Node};
use crate::process::{Process, Recipe};

/// Servers, and coordinators.
pub(crate) const REPLICAS: usize = 3;
/// The tenants.
pub(crate) const TENANTS: [&str; 3] = ["acme", "globex", "initech"];
/// Agents of each tenant.
pub(crate) const AGENTS_PER_TENANT: usize = 10;
/// Agents in all.
pub(crate) const AGENTS: usize = TENANTS.len() * AGENTS_PER_TENANT;
/// Tools of each agent. Each belongs to one slot of a client, so that two sessions never share one.
pub(crate) const TOOLS: usize = 8;
/// Pause of an agent between two calls: each tool is called about every second, and 30 agents are light work for two cores.
const PAUSE_MS: u64 = 110;
/// Ports from which an outgoing connection is never made, so that none is taken while its owner is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Longest start of the house on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// Where a route that a server learns by hearsay leads: nobody listens on the discard port, and every route goes through a relay.
const NOWHERE: &str = "127.0.0.1:9";

/// Everything that runs.
pub(crate) struct House {
    /// Its links.
    pub(crate) network: Network,
    /// Wall clocks of coordinators and agents.
    pub(crate) clocks: Clocks,
    /// Ports of coordinators, for each client: through its relays.
    pub(crate) doors: Vec<Vec<u16>>,
    processes: RefCell<BTreeMap<Node, Process>>,
    ports: Vec<ServerPorts>,
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug)]
struct ServerPorts {
    client: u16,
    monitoring: u16,
    route: u16,
}

/// Where things are.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// What the run leaves behind.
    pub(crate) folder: PathBuf,
    /// Our programs.
    pub(crate) programs: PathBuf,
    /// Where the servers' stores are: `n0`, `n1`, `n2`.
    pub(crate) stores: PathBuf,
}

impl House {
    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// When something doesn't start.
    pub(crate) async fn start(places: &Places, clients: usize) -> Result<Self> {
        let network = Network::new();
        let clocks = Clocks::new(places)?;
        let mut free = free_ports();
        let mut port = || free.next().context("no free port on loopback");
        let mut ports = Vec::new();
        for _ in 0..REPLICAS {
            ports.push(ServerPorts { client: port()?, monitoring: port()?, route: port()? });
        }
        let mut api = Vec::new();
        for _ in 0..REPLICAS {
            api.push(port()?);
        }
        let house = Self {
            network,
            clocks,
            doors: Vec::new(),
            processes: RefCell::default(),
            ports,
            folder: places.folder.clone(),
        };
        house.servers(places).await?;
        house.coordinators(places, &api).await?;
        house.agents(places).await?;
        let mut doors = Vec::new();
        for client in 0..clients {
            let mut of_it = Vec::new();
            for (number, port) in api.iter().enumerate() {
                let (from, to) = (Node::Client(client), Node::Coordinator(number));
                of_it.push(house.network.relay(from, to, *port).await?);
            }
            doors.push(of_it);
        }
        Ok(Self { doors, ..house })
    }

    async fn servers(&self, places: &Places) -> Result<()> {
        let binary = squall_tests::nats::binary()?;
        for (number, ports) in self.ports.iter().enumerate() {
            let mut routes = Vec::new();
            for (other, to) in self.ports.iter().enumerate().filter(|(other, _)| *other != number) {
                let (from, to_node) = (Node::Nats(number), Node::Nats(other));
                let relay = self.network.relay(from, to_node, to.route).await?;
                routes.push(format!("\"nats://127.0.0.1:{relay}\""));
            }
            let ServerPorts { client, monitoring, route } = ports;
            let store = places.stores.join(format!("n{number}"));
            let text = format!(
                "server_name: n{number}\nlisten: 127.0.0.1:{client}\nhttp: 127.0.0.1:{monitoring}\n\
                 jetstream {{ store_dir: {store:?}, sync_interval: always, max_file_store: 64GB }}\n\
                 cluster {{ name: drill, listen: \"127.0.0.1:{route}\", advertise: \"{NOWHERE}\", \
                 no_advertise: true, routes: [{}] }}\n",
                routes.join(", ")
            );
            let config = self.folder.join(format!("n{number}.conf"));
            std::fs::write(&config, text)?;
            let arguments = vec!["--config".to_owned(), config.display().to_string()];
            self.launch(Node::Nats(number), binary.clone(), arguments, Vec::new())?;
        }
        self.until("the servers", async || {
            let client = self.client().await?;
            let context = async_nats::jetstream::new(client);
            anyhow::Ok(context.query_account().await?)
        })
        .await
    }

    async fn coordinators(&self, places: &Places, api: &[u16]) -> Result<()> {
        for (number, port) in api.iter().enumerate() {
            let (mut nats, mut monitoring) = (Vec::new(), Vec::new());
            let from = Node::Coordinator(number);
            for (server, ports) in self.ports.iter().enumerate() {
                let relay = self.network.relay(from, Node::Nats(server), ports.client).await?;
                nats.push(format!("nats://127.0.0.1:{relay}"));
                let relay = self.network.relay(from, Node::Nats(server), ports.monitoring).await?;
                monitoring.push(format!("http://127.0.0.1:{relay}"));
            }
            let listen = format!("127.0.0.1:{port}");
            let (nats, monitoring) = (nats.join(","), monitoring.join(","));
            let arguments = ["serve", "--replicas", "3", "--nats", &nats, "--nats-monitoring"];
            let arguments = arguments.into_iter().chain([&*monitoring, "--listen", &listen]);
            let arguments = arguments.map(str::to_owned).collect();
            let program = places.programs.join("squall");
            self.launch(from, program, arguments, self.clocks.environment(&from.to_string())?)?;
        }
        for port in api {
            self.until("the coordinators", async || {
                Ok(tokio::net::TcpStream::connect(("127.0.0.1", *port)).await?)
            })
            .await?;
        }
        Ok(())
    }

    async fn agents(&self, places: &Places) -> Result<()> {
        let diaries = places.folder.join("agents");
        std::fs::create_dir_all(&diaries)?;
        for number in 0..AGENTS {
            let from = Node::Agent(number);
            let mut nats = Vec::new();
            for (server, ports) in self.ports.iter().enumerate() {
                let relay = self.network.relay(from, Node::Nats(server), ports.client).await?;
                nats.push(format!("nats://127.0.0.1:{relay}"));
            }
            let journal = places.folder.join(format!("a{number}.journal")).display().to_string();
            let assignment = Assignment {
                tenant: tenant_of(number).to_owned(),
                agent: from.to_string(),
                nats,
                tools: (0..TOOLS).map(tool).collect(),
                folder: diaries.display().to_string(),
                // A child that outlives its parent would keep a journal from the next life, so nobody has both.
                journal: number.is_multiple_of(3).then_some(journal),
                forks: number % 5 == 1 && !number.is_multiple_of(3),
                pause_ms: PAUSE_MS,
            };
            let arguments = vec![serde_json::to_string(&assignment)?];
            let program = places.programs.join("drill-agent");
            self.launch(from, program, arguments, self.clocks.environment(&from.to_string())?)?;
        }
        Ok(())
    }

    fn launch(
        &self,
        node: Node,
        program: PathBuf,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> Result<()> {
        let log = self.log(node);
        let recipe = Recipe { program, arguments, environment, log };
        self.processes.borrow_mut().insert(node, Process::start(recipe)?);
        Ok(())
    }

    fn log(&self, node: Node) -> PathBuf {
        self.folder.join("logs").join(format!("{node}.log"))
    }

    async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Result<T>) -> Result<()> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            self.keep()?;
            match look().await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > until => {
                    return Err(error.context(format!("waited in vain for {what}")));
                }
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Starts again what ended by itself.
    ///
    /// # Errors
    /// When something can't be started.
    pub(crate) fn keep(&self) -> Result<()> {
        self.processes.borrow_mut().values_mut().try_for_each(Process::keep)
    }

    /// Does something with one process.
    pub(crate) fn with<T>(&self, node: Node, what: impl FnOnce(&mut Process) -> T) -> Result<T> {
        let mut processes = self.processes.borrow_mut();
        Ok(what(processes.get_mut(&node).with_context(|| format!("there is no {node}"))?))
    }

    /// A connection of the drill's own to the servers, past all relays.
    ///
    /// # Errors
    /// When none answers.
    pub(crate) async fn client(&self) -> Result<async_nats::Client> {
        let urls: Vec<String> =
            self.ports.iter().map(|ports| format!("nats://127.0.0.1:{}", ports.client)).collect();
        let options = async_nats::ConnectOptions::new().connection_timeout(Duration::from_secs(2));
        Ok(options.connect(urls).await?)
    }

    /// What went wrong with processes that must not: crashes, and panics in what they wrote.
    ///
    /// # Errors
    /// When a log can't be read.
    pub(crate) fn failures(&self) -> Result<Vec<String>> {
        let mut failures = Vec::new();
        for (node, process) in self.processes.borrow().iter() {
            // What a full disk does to a server is the server's; it is started again.
            if !matches!(node, Node::Nats(_)) {
                failures.extend(process.strange_ends().iter().cloned());
                let log = std::fs::read(self.log(*node))?;
                let log = String::from_utf8_lossy(&log);
                let panics = log.lines().filter(|line| line.contains("panicked at"));
                failures.extend(panics.map(|line| format!("{node}: {line}")));
            }
        }
        Ok(failures)
    }

    /// Ends the agents in good order, so that each writes its last line.
    ///
    /// # Errors
    /// When one doesn't end.
    pub(crate) async fn end_agents(&self) -> Result<()> {
        let agents = || (0..AGENTS).map(Node::Agent);
        for agent in agents() {
            self.with(agent, Process::terminate)?;
        }
        let until = Instant::now() + READY_WITHIN;
        for agent in agents() {
            while self.with(agent, Process::is_running)? {
                if Instant::now() > until {
                    bail!("{agent} doesn't end");
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }
}

/// The tenant of the n-th agent.
pub(crate) fn tenant_of(agent: usize) -> &'static str {
    TENANTS[agent / AGENTS_PER_TENANT]
}

/// The name of the n-th tool.
pub(crate) fn tool(number: usize) -> String {
    format!("t{number}")
}

/// Ports that are free now, from a stretch that another drill of this host starts elsewhere.
fn free_ports() -> impl Iterator<Item = u16> {
    let width = PORTS.end - PORTS.start;
    let from = PORTS.start + u16::try_from(std::process::id() * 37 % u32::from(width)).unwrap_or(0);
    (from..PORTS.end)
        .chain(PORTS.start..from)
        .filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

/// Makes sure that a folder is there and empty.
///
/// # Errors
/// When it can't be made.
pub(crate) fn emptied(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder.join("logs"))
        .with_context(|| format!("make {}", folder.display()))
}
