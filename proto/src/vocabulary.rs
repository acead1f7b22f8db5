//! The words that both sides use, as types that can only hold what is allowed.
//!
//! Everything here is plain data. What arrives from outside is a "draft" (public fields, any value) that
//! `validate` turns into the real type while it collects *all* violations; see [`violation`].

pub mod blast_radius;
pub mod call;
pub mod counts;
pub mod fault;
pub mod id;
pub mod limits;
pub mod message;
pub mod named;
pub mod plan;
pub mod seam;
pub mod session;
pub mod site;
pub mod target;
pub mod time;
pub mod violation;
