//! Which streams are read, and how strictly.

use async_nats::jetstream::stream;
use squall_proto::subject::{EVIDENCE_STREAM, LOG_STREAM};

/// Which stream, and how strictly it is read.
#[derive(Clone, Debug)]
pub(in super::super) enum Kind {
    /// Gapless, and only with subjects that we know.
    Log,
    /// Old evidence is discarded and strange subjects are skipped: shims write here, and not only ours. With how its stream
    /// is made.
    Evidence(Box<stream::Config>),
}

impl Kind {
    pub(super) const fn stream(&self) -> &'static str {
        match self {
            Self::Log => LOG_STREAM,
            Self::Evidence(_) => EVIDENCE_STREAM,
        }
    }

    pub(super) const fn is_log(&self) -> bool {
        match self {
            Self::Log => true,
            Self::Evidence(_) => false,
        }
    }
}
