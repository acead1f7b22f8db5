//! `squall session show`.
