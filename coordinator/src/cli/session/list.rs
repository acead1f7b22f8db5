//! `squall session list`.
