//! The data plane of a shim: everything between "the host calls a hook" and "the call is changed".
//!
//! Pure: no runtime, no network, no source of randomness. Time is a [`Clock`] that the runtime hands over, and it is
//! read only after a call was chosen. What an adapter needs, in the order in which it needs it:
//!
//! 1. [`Registry`]: one for each process. [`Registry::site`] gives an adapter its [`Site`] for an agent and a tool.
//! 2. [`Site::decide`]: asked at every call. [`Verdict::Pass`] nearly always.
//! 3. [`Directive`]: a chosen call with its permit burned. [`Directive::hold`] says how long to hold the call and
//!    [`Directive::act`] which [`Act`] to perform, with the help of [`render`] and [`rewrite`], if it still may be. It ends
//!    with [`Directive::applied`], [`Directive::not_applied`] or [`Directive::missed`]; only the first counts as affected.
//!
//! What the link to the coordinator needs: [`Registry::install`] (the plan), [`Live`] (one session in this process)
//! with its [`Wallet`] and [`Demand`], the process's [`Lease`], and the evidence: [`Registry::counts`],
//! [`Registry::trace_counts`], [`Registry::drain_samples`].

mod clock;
mod counts;
mod demand;
mod directive;
pub mod draw;
mod inline;
pub mod journal;
mod limits;
pub mod link;
mod live;
pub mod local;
mod lock;
mod outlined;
mod plan;
mod pocket;
pub mod policy;
mod registry;
pub mod render;
pub mod rewrite;
mod samples;
mod shared;
mod site;
#[cfg(test)]
mod testing;
mod trace;
pub mod wallet;

pub use clock::{Clock, Wake};
pub use demand::Demand;
pub use directive::{Act, Directive, Failure, FailureKind, NotApplied};
pub use draw::RequestKey;
pub use live::Live;
pub use local::Local;
pub use plan::{ActiveSession, Installed, Unarmed, WhyUnarmed};
pub use policy::Policy;
pub use registry::{Announced, ForkedMidway, Registry};
pub use site::{Call, Claim, Ended, Site, Verdict};
pub use trace::Outcome;
pub use wallet::{Burn, CloneGuard, Keys, Lease, NoPermit, NotInstalled, Wallet};
