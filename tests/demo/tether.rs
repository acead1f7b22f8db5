//! The word by which `demo-recorder` becomes another program that dies with whoever started it.

/// Its first argument; the command follows.
pub(crate) const TETHER: &str = "tether";
