//! Talking to shims and to other replicas over NATS: subscriptions, replies, broadcasts. Nothing is decided here.

pub mod bus;
