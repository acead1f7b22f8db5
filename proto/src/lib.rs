//! The contract between Squall's coordinator and its shims.
//!
//! - [`vocabulary`]: pure types, validated when they are built. No wire format, no clock, no network.
//! - [`subject`]: the only place where a NATS subject is written or parsed.
//! - `wire` (feature `wire`): the generated protobuf messages and one conversion file for each noun.
//!
//! Both sides depend on this crate and never on each other.

#[cfg(test)]
mod strategies;
pub mod subject;
pub mod vocabulary;
#[cfg(feature = "wire")]
pub mod wire;
