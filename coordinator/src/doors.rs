//! What reads bytes from outside and is nobody's to call: for fuzzers.
//!
//! Everything else that they knock at is public anyway.

use std::sync::Arc;

use squall_proto::wire::v1::fleet_service_server::FleetService;
use squall_proto::wire::v1::session_service_server::SessionService;

use crate::api;
use crate::journal::Journal;

/// The services of the doors over a replica that has stopped: they read each request whole, and then say that.
pub fn services(journal: Arc<dyn Journal>) -> (impl SessionService, impl FleetService) {
    api::over_nothing(journal)
}
