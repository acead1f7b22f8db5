//! Generated messages and their conversions.

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
