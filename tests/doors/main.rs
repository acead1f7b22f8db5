//! The doors on a real coordinator and a real NATS, seen by clients: what they promise, and what they refuse.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod house;
mod life;
mod lists;
mod refusals;
mod second_client;
mod streams;
