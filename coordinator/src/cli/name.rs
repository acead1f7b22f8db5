//! Names of sessions, short and full.
