//! What went wrong, for people and programs, and the exit code.
