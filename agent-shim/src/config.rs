//! How a shim is set up: in code, or by the environment.

use std::env;
use std::io;
use std::path::PathBuf;

use squall_proto::vocabulary::id::{AgentName, InvalidId, ShimId, TenantId};
use squall_shim_core::Policy;
use squall_shim_core::policy::{InvalidSettings, Settings};

use crate::nats::Address;
use crate::pipe::Pipe;
use crate::shim::Shim;

/// Where a coordinator's NATS server is, unless something else is said: what `squall dev` starts.
const LOCAL_SERVER: &str = "nats://127.0.0.1:4222";

/// Why a shim could not be set up. The host then goes on with [`Shim::off`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The owner's settings can't be understood.
    #[error("failed to read the owner's settings: {0}")]
    Settings(#[from] InvalidSettings),
    /// Chaos is allowed here, but nobody said for whom.
    #[error("failed to find the tenant: SQUALL_TENANT is not set")]
    NoTenant,
    /// A variable holds no identifier.
    #[error("failed to read {variable}: it {source}")]
    Id {
        /// The variable.
        variable: &'static str,
        /// What is wrong.
        source: InvalidId,
    },
    /// A variable is neither true nor false.
    #[error("failed to read {variable}: it is {found:?}; allowed is true or false")]
    Bool {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        found: String,
    },
    /// The credentials can't be read.
    #[error("failed to read the credentials {path}")]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The journal can't be used.
    #[error("failed to use the journal {path}")]
    Journal {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The shim's thread could not be started.
    #[error("failed to start the shim's thread")]
    Thread(#[source] io::Error),
    /// The operating system gives no random numbers, so no incarnation can be made.
    #[error("failed to get random numbers")]
    Random,
    /// This process can't be told from a forked copy of it, so it may hold no permits.
    #[error("failed to watch for forks of this process")]
    Forks,
    /// The process forked while another thread changed the shim. The child stays without chaos.
    #[error("failed to start again after a fork: it came in the middle of a change")]
    ForkedMidway,
}

/// Everything that a shim has to know. Made by [`Shim::builder`].
#[derive(Clone)]
pub struct Builder {
    tenant: TenantId,
    shim: ShimId,
    policy: Policy,
    agents: Vec<AgentName>,
    urls: Vec<String>,
    credentials: Option<PathBuf>,
    certificates: Option<PathBuf>,
    shared_account: Option<bool>,
    journal: Option<PathBuf>,
    pipe: Option<Pipe>,
}

/// What was built.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) policy: Policy,
    pub(crate) agents: Vec<AgentName>,
    pub(crate) tenant: TenantId,
    pub(crate) shim: ShimId,
    pub(crate) way: Way,
    pub(crate) journal: Option<PathBuf>,
}

/// The way to a coordinator.
#[derive(Clone)]
pub(crate) enum Way {
    Nats(Address),
    Pipe(Pipe),
}

impl Builder {
    pub(crate) fn new(tenant: TenantId, shim: ShimId) -> Self {
        Self {
            tenant,
            shim,
            policy: Policy::off(),
            agents: Vec::new(),
            urls: Vec::new(),
            credentials: None,
            certificates: None,
            shared_account: None,
            journal: None,
            pipe: None,
        }
    }

    /// What the process's owner lets happen. Without it, nothing is.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// An agent that this process will have. Others are announced when they are seen first.
    #[must_use]
    pub fn agent(mut self, agent: AgentName) -> Self {
        self.agents.push(agent);
        self
    }

    /// A NATS server: `nats://host:port` or `tls://host:port`. Several are tried in turn. The first user and password among
    /// them (`nats://user:password@host:port`, as written) count for all, unless there is a credentials file.
    #[must_use]
    pub fn nats(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// A credentials file (JWT and seed), as `nsc` writes it for a user of the tenant's account.
    #[must_use]
    pub fn credentials(mut self, path: impl Into<PathBuf>) -> Self {
        self.credentials = Some(path.into());
        self
    }

    /// Certificates of the authority that the servers' certificates are checked by (PEM). Demands TLS.
    #[must_use]
    pub fn certificates(mut self, path: impl Into<PathBuf>) -> Self {
        self.certificates = Some(path.into());
        self
    }

    /// Whether one NATS account serves all tenants, as in `squall dev`, so that the tenant stands in every subject. In
    /// production each tenant has an account, and the server vouches for the tenant. Default: if there are no credentials.
    #[must_use]
    pub fn shared_account(mut self, shared: bool) -> Self {
        self.shared_account = Some(shared);
        self
    }

    /// A file that remembers how many permits were burned, so that the next process gives the rest of a dead one's back.
    /// Only one process at a time can use it.
    #[must_use]
    pub fn journal(mut self, path: impl Into<PathBuf>) -> Self {
        self.journal = Some(path.into());
        self
    }

    /// Speaks over `pipe` instead of NATS.
    #[must_use]
    pub fn pipe(mut self, pipe: Pipe) -> Self {
        self.pipe = Some(pipe);
        self
    }

    /// Starts the shim. It connects in the background, for as long as it takes: the host never waits for it.
    ///
    /// # Errors
    /// [`Error`] names what is missing or wrong.
    pub fn start(self) -> Result<Shim, Error> {
        Shim::start(self.build()?)
    }

    fn build(self) -> Result<Config, Error> {
        let Self {
            tenant,
            shim,
            policy,
            agents,
            mut urls,
            credentials,
            certificates,
            shared_account,
            journal,
            pipe,
        } = self;
        if urls.is_empty() {
            urls.push(LOCAL_SERVER.to_owned());
        }
        let shared_account = shared_account.unwrap_or(credentials.is_none());
        let credentials = credentials
            .map(|path| {
                let read = std::fs::read_to_string(&path);
                read.map_err(|source| Error::Credentials { path, source })
            })
            .transpose()?;
        let (in_subjects, speaker) = (shared_account.then(|| tenant.clone()), shim.clone());
        let address =
            Address { urls, credentials, certificates, tenant: in_subjects, shim: speaker };
        let way = pipe.map_or(Way::Nats(address), Way::Pipe);
        Ok(Config { policy, agents, tenant, shim, way, journal })
    }
}

/// See [`Shim::from_env`]. `None`: the owner did not opt in.
pub(crate) fn from_env() -> Result<Option<Builder>, Error> {
    let var = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let (enabled, feature) = (var("SQUALL_ENABLED"), var("FEATURE_CHAOS_ENGINEERING"));
    let (environment, allow) = (var("SQUALL_ENVIRONMENT"), var("SQUALL_ALLOW"));
    let policy = Policy::parse(&Settings {
        enabled: enabled.as_deref(),
        feature_chaos_engineering: feature.as_deref(),
        environment: environment.as_deref(),
        allow: allow.as_deref(),
    })?;
    if !policy.enabled {
        return Ok(None);
    }
    let tenant = var("SQUALL_TENANT").ok_or(Error::NoTenant)?;
    let tenant = TenantId::new(tenant).map_err(|source| invalid("SQUALL_TENANT", source))?;
    let shim = match var("SQUALL_SHIM") {
        Some(shim) => ShimId::new(shim).map_err(|source| invalid("SQUALL_SHIM", source))?,
        None => host_name(),
    };
    let mut builder = Builder::new(tenant, shim).policy(policy);
    for agent in list(var("SQUALL_AGENTS")) {
        let agent = AgentName::new(agent).map_err(|source| invalid("SQUALL_AGENTS", source))?;
        builder = builder.agent(agent);
    }
    builder.urls = list(var("SQUALL_NATS_URL"));
    builder.credentials = var("SQUALL_NATS_CREDS").map(PathBuf::from);
    builder.certificates = var("SQUALL_NATS_CA").map(PathBuf::from);
    builder.shared_account = var("SQUALL_SHARED_ACCOUNT").map(|value| truth(&value)).transpose()?;
    builder.journal = var("SQUALL_JOURNAL").map(PathBuf::from);
    Ok(Some(builder))
}

fn invalid(variable: &'static str, source: InvalidId) -> Error {
    Error::Id { variable, source }
}

fn list(value: Option<String>) -> Vec<String> {
    let value = value.unwrap_or_default();
    let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(str::to_owned).collect()
}

fn truth(value: &str) -> Result<bool, Error> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Error::Bool { variable: "SQUALL_SHARED_ACCOUNT", found: value.to_owned() }),
    }
}

/// The machine's name, as a token: the same over restarts of the process.
fn host_name() -> ShimId {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let token: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '-' })
        .take(64)
        .collect();
    ShimId::new(token).unwrap_or_else(|_| ShimId::new("shim").expect("`shim` is a token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_s_name_is_a_token() {
        assert!(!host_name().as_str().is_empty());
    }

    #[test]
    fn lists_are_split_at_commas() {
        assert_eq!(list(Some("a, b,,c ".to_owned())), ["a", "b", "c"]);
        assert_eq!(list(None), Vec::<String>::new());
    }

    #[test]
    fn the_tenant_stands_in_the_subjects_of_a_shared_account_only() {
        let builder = || {
            let (tenant, shim) = (TenantId::new("acme").unwrap(), ShimId::new("s1").unwrap());
            Builder::new(tenant, shim)
        };
        let tenant = |builder: Builder| match builder.build().unwrap().way {
            Way::Nats(address) => address.tenant,
            Way::Pipe(_) => None,
        };
        assert!(tenant(builder()).is_some());
        assert!(tenant(builder().shared_account(false)).is_none());
    }

    #[test]
    fn credentials_that_are_not_there_are_named() {
        let (tenant, shim) = (TenantId::new("acme").unwrap(), ShimId::new("s1").unwrap());
        let built = Builder::new(tenant, shim).credentials("/nowhere/at/all.creds").build();
        let error = built.err().unwrap().to_string();
        assert_eq!(error, "failed to read the credentials /nowhere/at/all.creds");
    }
}
