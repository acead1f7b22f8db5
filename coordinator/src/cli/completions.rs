//! `squall completions`.
