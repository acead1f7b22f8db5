//! skeleton
pub mod journal;
