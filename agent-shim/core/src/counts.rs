//! Counters of one experiment at one agent, written by hook threads.
