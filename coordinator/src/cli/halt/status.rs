//! `squall halt status`.
