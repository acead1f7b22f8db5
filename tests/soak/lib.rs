//! What the soak and its hosts share: what a host says, and whose turn it is to be measured.
//!
//! The soak runs hosts, each with a twin that does the same without a shim, while NATS and the coordinator around them die,
//! freeze and come back. `soak --help` says what it looks at; `host/` holds the hosts, `soak/` what runs and judges them.

pub mod said;
pub mod turn;
