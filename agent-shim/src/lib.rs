//! What an agent links so that Squall can inject faults into it.
//!
//! # Quick start
//!
//! A test needs no server: [`Shim::local`] injects in this process alone.
//!
//! ```
//! use squall_shim::core::{Call, Ended, RequestKey};
//! use squall_shim::vocabulary::call::{Point, Shape};
//! use squall_shim::vocabulary::fault::{ErrorCodes, Fault};
//! use squall_shim::vocabulary::id::{AgentName, ExperimentName, ToolName};
//! use squall_shim::vocabulary::seam::{Capabilities, Seam};
//! use squall_shim::vocabulary::session::Experiment;
//! use squall_shim::vocabulary::target::{Probability, Selector};
//! use squall_shim::Shim;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Every call of every tool fails with 503, twice in all.
//! let outage = Experiment {
//!     name: ExperimentName::new("outage")?,
//!     fault: Fault::Error(ErrorCodes { codes: vec![503], message: None }),
//!     probability: Probability::ONE,
//!     selector: Selector::default(),
//! };
//! let shim = Shim::local(vec![outage], 2, 42)?;
//!
//! // Where the agent calls its tool, and what that place lets a fault do.
//! let seam = Seam {
//!     name: "my-agent".to_owned(),
//!     point: Point::Tool,
//!     shape: Shape::Text,
//!     capabilities: Capabilities {
//!         block: true,
//!         rewrite_in: false,
//!         rewrite_out: false,
//!         disconnect: false,
//!         structural: false,
//!         max_delay_ms: 10_000,
//!         knows_trace: false,
//!         stable_request_id: true,
//!     },
//! };
//! let site = shim.site(&AgentName::new("planner")?, &ToolName::new("search")?, &seam);
//!
//! let search = |id: &str| -> Result<String, String> {
//!     let call = Call { request: RequestKey::of(id), trace: None };
//!     let Some(mut directive) = shim.decide_blocking(&site, &call) else {
//!         site.ended(&call, Ended::Ok);
//!         return Ok("the answer".to_owned());
//!     };
//!     let held = shim.delay_blocking(&mut directive);
//!     directive.applied(&call, held); // Only now it counts.
//!     site.ended(&call, Ended::FailedByInjection);
//!     Err("503 Service Unavailable".to_owned())
//! };
//! assert!(search("a").is_err());
//! assert!(search("b").is_err());
//! assert_eq!(search("c")?, "the answer");
//! # Ok(())
//! # }
//! ```
//!
//! In an agent that talks to a coordinator the first line is [`Shim::from_env`], which lists all variables (or
//! [`Shim::builder`]), and the adapters do the rest: `tower` for HTTP-like services and `rmcp` for the Model Context
//! Protocol, each behind the feature of its name. An agent's own answers go through [`Shim::answer`]. `examples/agent.rs`
//! is such an agent, to be run and copied.
//!
//! # What a host can rely on
//!
//! - **Off unless opted in.** Without `SQUALL_ENABLED=true` no thread is started and nothing is connected.
//! - **Nothing of it fails the host.** Whatever goes wrong inside, calls pass unchanged, and [`Shim::status`] counts it.
//!   No contact, no chaos: a shim that hears nothing injects nothing after three seconds.
//! - **Never the host's runtime.** The shim has a thread and a runtime of its own. Everything `async` here runs on any
//!   executor; everything has a blocking twin.
//! - **Never the host's signals.** They are blocked on the shim's threads, SIGPIPE too.
//! - **Prompts, bodies and headers stay in the process.** Names, counters and times leave it, nothing else.
//! - **A forked child injects nothing** until its host calls [`Shim::after_fork`]: permits belong to one process. Nor does it
//!   wait for anything that another thread of its parent held.

mod bell;
mod clock;
mod config;
#[cfg(feature = "doors")]
pub mod doors;
mod fork;
mod journal;
mod mask;
mod nats;
pub mod pipe;
mod shim;
mod signal;
mod timers;
mod worker;

pub use config::{Builder, Error};
pub use shim::{Shim, Status};
pub use squall_proto::vocabulary;
pub use squall_shim_core as core;

#[cfg(any(feature = "rmcp", feature = "tower"))]
mod hold;
#[cfg(feature = "rmcp")]
pub mod rmcp;
#[cfg(test)]
mod testing;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(any(feature = "rmcp", feature = "tower"))]
mod traceparent;
