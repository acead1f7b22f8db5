//! Calls of clients: gRPC requests as protobuf bytes, read by the services themselves over a replica that has stopped.
//!
//! Whatever is wrong with a request, the caller is told so, in an answer that clients take.

use std::sync::Arc;

use prost::Message;
use squall::doors::services;
use squall::journal::memory::{Copies, Memory};
use squall_proto::wire::v1::fleet_service_server::FleetService;
use squall_proto::wire::v1::session_service_server::SessionService;
use tokio::runtime::{Builder, Runtime};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::cast;

/// What clients take as an answer's trailer at least: message and details, as they travel.
const TRAILER_BYTES_MAX: usize = 8 * 1024;

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without a network needs nothing of the system");
}

/// The first byte says which call.
pub(super) fn client(bytes: &[u8]) {
    let Some((which, message)) = bytes.split_first() else { return };
    let refused = RUNTIME.with(|runtime| runtime.block_on(call(*which, message)));
    if let Some(status) = refused {
        judge(&status);
    }
}

/// Reads the message as that of a method, and calls it. `None`: it is no message of it.
macro_rules! calls {
    ($service:ident, $method:ident, $bytes:ident) => {{
        let message = Message::decode($bytes).ok()?;
        $service.$method(Request::new(message)).await.err()
    }};
}

async fn call(which: u8, bytes: &[u8]) -> Option<Status> {
    let journal = Memory::new(cast::log(0), Copies::One);
    let (sessions, fleet) = services(Arc::new(journal));
    match which % 15 {
        0 => calls!(sessions, create_session, bytes),
        1 => calls!(sessions, get_session, bytes),
        2 => calls!(sessions, list_sessions, bytes),
        3 => calls!(sessions, start_session, bytes),
        4 => calls!(sessions, pause_session, bytes),
        5 => calls!(sessions, resume_session, bytes),
        6 => calls!(sessions, stop_session, bytes),
        7 => calls!(sessions, abort_session, bytes),
        8 => calls!(sessions, list_events, bytes),
        9 => calls!(sessions, get_report, bytes),
        10 => calls!(fleet, list_shims, bytes),
        11 => calls!(fleet, engage_halt, bytes),
        12 => calls!(fleet, release_halt, bytes),
        13 => calls!(fleet, get_halt, bytes),
        _ => calls!(sessions, watch_session, bytes),
    }
}

fn judge(status: &Status) {
    if status.code() == Code::InvalidArgument {
        let details = status.get_error_details();
        let named = details.bad_request().is_some_and(|wrong| !wrong.field_violations.is_empty());
        assert!(named, "refused without a reason: {status:?}");
    } else {
        // What a replica that has stopped says.
        let gone = [Code::Unavailable, Code::DeadlineExceeded];
        assert!(gone.contains(&status.code()), "{status:?}");
    }
    let mut headers = tonic::codegen::http::HeaderMap::new();
    status.add_header(&mut headers).expect("a status that can't be sent");
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    assert!(bytes <= TRAILER_BYTES_MAX, "{bytes} bytes of trailer: {status:?}");
}
