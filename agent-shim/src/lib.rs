//! skeleton

#[cfg(any(feature = "rmcp", feature = "tower"))]
mod hold;
#[cfg(feature = "rmcp")]
pub mod rmcp;
#[cfg(all(test, any(feature = "rmcp", feature = "tower")))]
mod testing;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(any(feature = "rmcp", feature = "tower"))]
mod traceparent;
