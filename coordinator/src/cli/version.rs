//! `squall version`.
