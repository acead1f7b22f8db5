//! Generated messages and their conversions, one file for each noun.
//!
//! What goes between coordinator and shims has an `encode_` and a `decode_`; everything else converts with `From` (to the
//! wire) and `TryFrom` (from it). Conversions name every field, so that a new one fails to compile. Reading refuses lists
//! and sizes over their limits first, then names every violation with the path of its field.
//!
//! Not here: what a message means. Whose tenant and shim a message is of stands in its subject, never in the message.

mod command;
mod enumeration;
mod evidence;
mod fault;
mod id;
mod plan;
mod read;
mod reply;
mod request;
mod seam;
mod session;
pub mod time;

use prost::Message;

use crate::vocabulary::limits::MESSAGE_BYTES_MAX;
use crate::vocabulary::message::{Command, Evidence, Reply, Request};
use crate::vocabulary::violation::Violations;

/// The generated messages of package `squall.v1`, and its services with feature `grpc`.
#[cfg_attr(
    feature = "grpc",
    expect(clippy::allow_attributes, reason = "tonic's generator writes them")
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/squall.v1.rs"));
}

/// All `.proto` files and what they import, compiled: what gRPC reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/squall.v1.bin"));

/// The bytes of a request. The receiver refuses more than [`MESSAGE_BYTES_MAX`]; a Hello with every list full is over it.
#[must_use]
pub fn encode_request(request: &Request) -> Vec<u8> {
    v1::Request::from(request).encode_to_vec()
}

/// Reads a request.
///
/// # Errors
/// [`Violations`] when the bytes are no request, or one over a limit.
pub fn decode_request(bytes: &[u8]) -> Result<Request, Violations> {
    decode::<v1::Request, _>(bytes)
}

/// The bytes of a reply. The receiver refuses more than [`MESSAGE_BYTES_MAX`].
#[must_use]
pub fn encode_reply(reply: &Reply) -> Vec<u8> {
    v1::Reply::from(reply).encode_to_vec()
}

/// Reads a reply.
///
/// # Errors
/// [`Violations`] when the bytes are no reply, or one over a limit.
pub fn decode_reply(bytes: &[u8]) -> Result<Reply, Violations> {
    decode::<v1::Reply, _>(bytes)
}

/// The bytes of a command. The receiver refuses more than [`MESSAGE_BYTES_MAX`].
#[must_use]
pub fn encode_command(command: &Command) -> Vec<u8> {
    v1::Command::from(command).encode_to_vec()
}

/// Reads a command.
///
/// # Errors
/// [`Violations`] when the bytes are no command, or one over a limit.
pub fn decode_command(bytes: &[u8]) -> Result<Command, Violations> {
    decode::<v1::Command, _>(bytes)
}

/// The bytes of evidence. The receiver refuses more than [`MESSAGE_BYTES_MAX`]; evidence with every list full is over it.
#[must_use]
pub fn encode_evidence(evidence: &Evidence) -> Vec<u8> {
    v1::Evidence::from(evidence).encode_to_vec()
}

/// Reads evidence.
///
/// # Errors
/// [`Violations`] when the bytes are no evidence, or evidence over a limit.
pub fn decode_evidence(bytes: &[u8]) -> Result<Evidence, Violations> {
    decode::<v1::Evidence, _>(bytes)
}

/// Sizes are checked before anything is read, lists before any of their items becomes a value.
fn decode<W: Message + Default, T: read::Read<W>>(bytes: &[u8]) -> Result<T, Violations> {
    let count = bytes.len();
    if count > MESSAGE_BYTES_MAX {
        return Err(Violations::one(
            "",
            format!("has {count} bytes; allowed are {MESSAGE_BYTES_MAX}"),
        ));
    }
    let wire = W::decode(bytes)
        .map_err(|error| Violations::one("", format!("is not such a message: {error}")))?;
    read::whole(wire)
}

#[cfg(test)]
mod tests;
