//! The connection to a coordinator.
