//! `squall halt release`.
