//! `squall session watch`: the live view.
