//! The pump of one replica: moves inputs into the [`Engine`](crate::engine::Engine) and carries out what comes out of it.
//!
//! All sources meet in one loop, in one task, so that the engine needs no locks. Nothing is decided here.

mod clock;
mod handle;
mod pump;
pub mod snapshot;
pub mod translation;

pub use clock::{Clock, HostClock};
pub use handle::{Gone, Handle};
pub use pump::{Settings, run};
pub use snapshot::Cadence;
