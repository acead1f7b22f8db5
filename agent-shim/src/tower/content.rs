//! Which bodies can be changed, and what shape they have.

use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;
use squall_proto::vocabulary::call::Shape;
use squall_shim_core::NotApplied;

/// Longest body that is gathered to be changed. An agent's request or a tool's answer is far shorter; what is longer is a
/// download, and to hold it would cost the host memory that it did not plan for.
pub const BODY_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The shape of a body that can be changed whole.
///
/// # Errors
/// [`NotApplied`] for one that can't: too long, of unknown length, encoded, or neither JSON nor text.
pub(super) fn shape(headers: &HeaderMap, body: &impl BodyExt) -> Result<Shape, NotApplied> {
    if body.size_hint().upper().is_none_or(|bytes| bytes > BODY_BYTES_MAX) {
        return Err(NotApplied::TooLarge);
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(NotApplied::Unexpected);
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        Ok(Shape::Json)
    } else if essence.starts_with("text/") && essence != "text/event-stream" {
        Ok(Shape::Text)
    } else {
        Err(NotApplied::Unexpected)
    }
}

/// Makes `content-length` true again, where it is given.
pub(super) fn fit(headers: &mut HeaderMap, bytes: usize) {
    if let Some(length) = headers.get_mut(header::CONTENT_LENGTH) {
        *length = HeaderValue::from(bytes);
    }
}
