//! Messages between coordinator and shims, and specifications from clients, as protobuf bytes.

use std::fmt::Debug;

use prost::Message;
use squall_proto::subject::{Subject, TenantSubject};
use squall_proto::vocabulary::session::{SessionDraft, SessionSpec};
use squall_proto::vocabulary::violation::Violations;
use squall_proto::wire::{self, v1};

use super::cast;

pub(super) fn request(bytes: &[u8]) {
    let Some(request) = survives(bytes, wire::decode_request, wire::encode_request) else { return };
    // Where it is sent to is a subject, and is read as the same.
    let subject = TenantSubject::ask(&cast::tenant(), &cast::shim(0), &request);
    let text = Subject::Tenant { tenant: cast::tenant(), subject: subject.clone() }.to_string();
    let read: Result<Subject, _> = text.parse();
    assert_eq!(read, Ok(Subject::Tenant { tenant: cast::tenant(), subject }));
}

pub(super) fn reply(bytes: &[u8]) {
    survives(bytes, wire::decode_reply, wire::encode_reply);
}

pub(super) fn command(bytes: &[u8]) {
    survives(bytes, wire::decode_command, wire::encode_command);
}

pub(super) fn evidence(bytes: &[u8]) {
    survives(bytes, wire::decode_evidence, wire::encode_evidence);
}

/// What is accepted is written and read as the same; what is refused is refused with a reason.
fn survives<T: PartialEq + Debug>(
    bytes: &[u8],
    decode: fn(&[u8]) -> Result<T, Violations>,
    encode: fn(&T) -> Vec<u8>,
) -> Option<T> {
    match decode(bytes) {
        Ok(message) => {
            assert_eq!(decode(&encode(&message)).as_ref(), Ok(&message));
            Some(message)
        }
        Err(Violations(found)) => {
            assert!(!found.is_empty(), "refused without a reason");
            None
        }
    }
}

pub(super) fn specification(bytes: &[u8]) {
    let Ok(written) = v1::SessionSpec::decode(bytes) else { return };
    let spec = match SessionSpec::try_from(written) {
        Ok(spec) => spec,
        Err(Violations(found)) => return assert!(!found.is_empty(), "refused without a reason"),
    };
    assert_eq!(SessionSpec::try_from(v1::SessionSpec::from(&spec)).as_ref(), Ok(&spec));
    assert_eq!(SessionDraft::from(&spec).validate().as_ref(), Ok(&spec));
}
