//! Choosing requests and parameters by hashing: the same in Rust, Python and JavaScript, and the same for every retry.

/// Two hashes of a logical request's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// First lane.
    pub a: u32,
    /// Second lane.
    pub b: u32,
}

impl RequestKey {
    /// Hashes a request id. Do it once for each request, not for each attempt or rule.
    #[must_use]
    pub fn of(request_id: &str) -> Self {
        let _ = request_id;
        todo!()
    }

    /// Both lanes as one number: what [`GrantScope::request`](squall_proto::vocabulary::message::GrantScope) binds.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        ((self.a as u64) << 32) | self.b as u64
    }
}
