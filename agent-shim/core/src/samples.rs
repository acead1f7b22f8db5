//! A bounded store of what happened to single calls, for the timeline. Full: drop and count.
