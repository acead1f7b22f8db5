//! What end-to-end tests stand on: real nats-servers, replicas in this process, agents, and shims that only speak.

pub mod agents;
pub mod coordinator;
pub mod nats;
pub mod speaker;
