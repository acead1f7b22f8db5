//! Squall's pure domain: what a session is, what its ledger allows, when it is stopped for certain.
//!
//! Nothing here reads a clock, draws a random number, or touches a network or disk: time, seeds and local
//! measurements are arguments. The log is the only truth; [`world::World`] is its fold, the same on every replica.
//!
//! - [`event`]: what can stand in the log.
//! - [`session`]: one session, its [`session::ledger::Ledger`], and every decision about it.
//! - [`lever`]: halts, for one tenant or for all.
//! - [`world`]: the fold of the whole log.
//! - [`local`]: what one replica measures by its own clock and that is never replicated.
//! - [`evidence`]: what shims reported, merged and added up.

pub mod event;
pub mod evidence;
pub mod lever;
pub mod local;
pub mod rejection;
pub mod session;
pub mod world;

#[cfg(test)]
mod scenario;
