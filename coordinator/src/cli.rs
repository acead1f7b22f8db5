//! The command line: one file for each command.
//!
//! A client of the gRPC API like any other, but for `dev` and `serve`, which run a coordinator, and for `types`, `version`
//! and `completions`, which need none.
