//! `squall session stop`.
