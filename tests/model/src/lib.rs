//! Squall's protocol, explored exhaustively.
//!
//! Not a second copy of it: the coordinator's side is `squall-domain` (the fold of the log, the ledger, every decision,
//! levers, ages), the shim's side `squall_shim_core::link::Link` over real wallets. What lies between is an adversary:
//!
//! - the network is a set of messages that is never emptied ([`mail`]): each arrives any number of times, in any order,
//!   or never;
//! - replicas ([`replica`]) lag as they like, both believe that they own the session, give up appends that land all the
//!   same, and start anew;
//! - processes ([`process`]) die, live again with and without a journal, and fork; their clocks jump or run apart;
//! - clients start, pause, abort, halt and release in between.
//!
//! [`fleet`] is a configuration and its states, [`step`] what can happen, [`truth`] and [`book`] what must hold.
//! [`search`] visits every state (stateright), [`reach`] asks whether what is hoped for stays possible.
//!
//! Checked: I1 to I13, T1, T2, L1 to L4, as far as [`configurations`] go. Not here: the engine's own loop, the wire, the
//! real log, which the simulation and the drill run.

pub mod begin;
pub mod book;
pub mod cast;
pub mod chain;
pub mod configurations;
pub mod fleet;
pub mod hands;
pub mod invariant;
pub mod mail;
pub mod memo;
pub mod print;
pub mod process;
pub mod reach;
pub mod replica;
pub mod search;
pub mod step;
pub mod truth;
