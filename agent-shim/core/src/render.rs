//! A failure in the form in which the agent would meet it.

use squall_proto::vocabulary::call::Shape;

use crate::directive::Failure;

/// A finished answer in the native form of a seam.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The HTTP status, for seams that have one.
    pub status: u16,
    /// Headers beside the content type, lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The content type.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// `failure` as the answer to `request` (the call's input in `shape`; its id and method are read from it).
#[must_use]
pub fn failure(failure: &Failure<'_>, shape: Shape, tool: &str, request: &[u8]) -> Rendered {
    let _ = (failure, shape, tool, request);
    todo!()
}

/// The standard reason of an HTTP status (RFC 9110, RFC 6585, and what model providers add).
#[must_use]
pub const fn reason(status: u16) -> &'static str {
    let _ = status;
    "Error"
}
