//! `squall session resume`.
