//! `squall session start`.
