//! `squall session report`.
