//! What end-to-end tests stand on: real nats-servers, replicas in this process, agents.

pub mod agents;
pub mod coordinator;
pub mod nats;
