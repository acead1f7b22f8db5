//! The nats-server of `squall dev`: found, configured, started, and stopped with us.
