//! `squall session pause`.
