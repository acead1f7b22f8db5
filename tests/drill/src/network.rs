//! Every connection of the drill goes through a relay of ours, so that each link can be disturbed in each direction on any
//! machine, without rights: frozen (a partition, as TCP shows it: nothing comes, nothing is refused), cut (reset, and refused),
//! delayed, lossy (stalls as long as a retransmission, and now and then a reset), throttled.
//!
//! What a relay holds while a direction is frozen goes on when it thaws, as it would in a network.

mod relay;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Node {
    /// A nats-server.
    Nats(usize),
    /// A coordinator.
    Coordinator(usize),
    /// An agent.
    Agent(usize),
    /// A client.
    Client(usize),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nats(n) => write!(f, "n{n}"),
            Self::Coordinator(n) => write!(f, "c{n}"),
            Self::Agent(n) => write!(f, "a{n}"),
            Self::Client(n) => write!(f, "k{n}"),
        }
    }
}

/// What is done to a direction of a link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Disturbance {
    /// Nothing passes.
    Frozen,
    /// Connections are reset, and none is made.
    Cut,
    /// Everything comes later by this time and up to as much again.
    Delayed(Duration),
    /// This share of what is sent at once is lost at first.
    Lossy(f64),
    /// So many bytes a second pass.
    Throttled(u32),
}

/// A disturbance of all links from some nodes to some others.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// The fault's number.
    pub(crate) fault: u32,
    /// From any of these.
    pub(crate) from: Vec<Node>,
    /// To any of these.
    pub(crate) to: Vec<Node>,
    /// What is done.
    pub(crate) what: Disturbance,
}

/// All links.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    troubles: watch::Sender<Arc<Vec<Trouble>>>,
}

impl Network {
    /// A network without trouble.
    pub(crate) fn new() -> Self {
        Self { troubles: watch::Sender::new(Arc::default()) }
    }

    /// Begins a trouble. When this returns, everything that is forwarded from now on is subject to it.
    pub(crate) fn begin(&self, trouble: Trouble) {
        self.troubles.send_modify(|all| Arc::make_mut(all).push(trouble));
    }

    /// Ends all troubles of a fault.
    pub(crate) fn end(&self, fault: u32) {
        self.troubles.send_modify(|all| Arc::make_mut(all).retain(|one| one.fault != fault));
    }
}

/// What a direction of a link is subject to.
fn disturbances(troubles: &[Trouble], from: Node, to: Node) -> Vec<Disturbance> {
    let concerns = |one: &&Trouble| one.from.contains(&from) && one.to.contains(&to);
    troubles.iter().filter(concerns).map(|one| one.what).collect()
}
