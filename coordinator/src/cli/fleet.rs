//! `squall fleet`: the shims that are there.
