//! Wildcards to subscribe to, and the subjects that streams hold.

use std::fmt;

use super::Partition;
use crate::vocabulary::id::TenantId;

/// What a subscriber or a stream takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// `tenant.*.ask.*.<p>.>`: every question of a partition, for its owner.
    Asks(Partition),
    /// `tenant.*.ask.*.*.hello`: the first words of all shims, which every replica hears and the owner answers.
    Hellos,
    /// `tenant.*.ev.*.<p>`: the evidence of a partition, for its owner.
    EvidenceOf(Partition),
    /// `tenant.*.ev.>`: all evidence, for its stream.
    Evidence,
    /// `ctl.alive.*`: which replicas live.
    Alive,
    /// `ctl.cmd.<p>`: clients' commands of a partition, for its owner.
    ClientCommands(Partition),
    /// `log.>`: the whole log, for its stream and for whoever folds it.
    Log,
    /// `log.s.>`: the events of all sessions.
    SessionLogs,
    /// `log.s.<tenant>.*`: the events of all sessions of a log tenant.
    SessionLogsOf(TenantId),
    /// `log.lever.*`: all halts.
    LeverLogs,
    /// `log.barrier.*`: all barriers.
    BarrierLogs,
    /// `log.audit.*`: every audit.
    AuditLogs,
    /// `log.tenant.*`: settings and consents of all tenants.
    TenantLogs,
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asks(partition) => write!(f, "tenant.*.ask.*.{partition}.>"),
            Self::Hellos => f.write_str("tenant.*.ask.*.*.hello"),
            Self::EvidenceOf(partition) => write!(f, "tenant.*.ev.*.{partition}"),
            Self::Evidence => f.write_str("tenant.*.ev.>"),
            Self::Alive => f.write_str("ctl.alive.*"),
            Self::ClientCommands(partition) => write!(f, "ctl.cmd.{partition}"),
            Self::Log => f.write_str("log.>"),
            Self::SessionLogs => f.write_str("log.s.>"),
            Self::SessionLogsOf(tenant) => write!(f, "log.s.{tenant}.*"),
            Self::LeverLogs => f.write_str("log.lever.*"),
            Self::BarrierLogs => f.write_str("log.barrier.*"),
            Self::AuditLogs => f.write_str("log.audit.*"),
            Self::TenantLogs => f.write_str("log.tenant.*"),
        }
    }
}
