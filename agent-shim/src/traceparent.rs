//! Reading W3C Trace Context.

use squall_proto::vocabulary::id::TraceId;

/// The trace id of `00-<trace id>-<parent id>-<flags>` (W3C Trace Context, section 3.2); `None` for one of zeros only.
pub(crate) fn trace_of(traceparent: &str) -> Option<TraceId> {
    let trace = traceparent.split('-').nth(1)?;
    let valid = trace.len() == 32 && trace.bytes().any(|byte| byte != b'0');
    valid.then(|| TraceId::new(trace).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_from_its_context_and_an_invalid_one_is_none() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let read = trace_of(&format!("00-{trace}-b7ad6b7169203331-01")).unwrap();
        assert_eq!(read.as_str(), trace);
        assert_eq!(trace_of(&format!("00-{}-b7ad6b7169203331-01", "0".repeat(32))), None);
        assert_eq!(trace_of("garbage"), None);
    }
}
