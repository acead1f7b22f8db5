//! `squall halt engage`.
