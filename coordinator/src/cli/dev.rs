//! `squall dev`: a nats-server of its own, the coordinator and its doors, on loopback.
