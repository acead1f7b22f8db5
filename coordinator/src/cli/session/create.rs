//! `squall session create`: sends a session file.
