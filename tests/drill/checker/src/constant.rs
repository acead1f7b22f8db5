//! The numbers of docs/protocol.md, written down a second time: a judge that read them from the code would follow it wherever
//! it goes.

/// Time that a shim may use permits without contact (TTL), in nanoseconds.
pub const LEASE_NS: u64 = 3_000_000_000;
/// Longest time that ending a fault takes once a shim knows of a stop (D_cancel), in nanoseconds.
pub const CANCEL_NS: u64 = 250_000_000;
/// Largest difference of clock rates (rho), in parts per million.
pub const RATE_PPM: u64 = 500;
/// Most permits in one grant.
pub const GRANT_MAX: u32 = 256;

/// `TTL / (1 - rho)` in nanoseconds.
#[must_use]
pub const fn lease_stretched_ns() -> u64 {
    LEASE_NS * 1_000_000 / (1_000_000 - RATE_PPM)
}
