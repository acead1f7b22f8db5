//! Squall's coordinator: keeps each chaos session as an event log, grants permits to shims, stops them, and adds up
//! what they report.
//!
//! - [`api`]: the doors, gRPC.
//! - [`cli`]: the command line, one file for each command.
//! - [`embedded`]: the nats-server of `squall dev`.
//! - [`engine`]: the loop of one replica, without the world.
//! - [`journal`]: the log and what stands beside it, as bytes.
//! - [`fleet`]: shims and other replicas, over NATS.
//! - [`replica`]: the pump between the engine and all of these.
//! - [`server`]: a whole coordinator, put together.
//! - [`session_file`]: sessions as people write them.
//! - `doors`: what fuzzers knock at (feature "doors").

pub mod api;
pub mod cli;
#[cfg(feature = "doors")]
pub mod doors;
pub mod embedded;
pub mod engine;
pub mod fleet;
pub mod journal;
pub mod replica;
mod seldom;
pub mod server;
pub mod session_file;
