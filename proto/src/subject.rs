//! Every NATS subject, stream and bucket of Squall: the only place where one is written or parsed (docs/nats.md).
//!
//! A subject between coordinator and shims is a [`TenantSubject`] under a [`Root`]: the coordinator, and in `squall dev`
//! the shims too, put `tenant.<t>.` before it; in production a shim says it without, and the server stamps the tenant.
//! [`Subject`] is everything that the coordinator sees. Whatever parses is written back as the same text.
//!
//! Not here: permissions, streams' settings, and who owns which [`Partition`].

mod filter;
mod partition;

use std::fmt;
use std::str::FromStr;

pub use filter::Filter;
pub use partition::Partition;

use crate::vocabulary::id::{InvalidId, ReplicaId, SessionKey, ShimId, TenantId};
use crate::vocabulary::message::Request;
use crate::vocabulary::named::{Named, names};

/// Name of the stream that holds the truth; its subjects are [`Filter::Log`].
pub const LOG_STREAM: &str = "SQUALL_LOG";
/// Name of the stream of evidence; its subjects are [`Filter::Evidence`].
pub const EVIDENCE_STREAM: &str = "SQUALL_EVIDENCE";
/// Name of the key-value bucket of snapshots.
pub const SNAPSHOTS_BUCKET: &str = "SQUALL_SNAPSHOTS";

/// What a shim asks for; the last token of its request's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// The first word of an incarnation.
    Hello,
    /// The whole plan.
    Sync,
    /// Permits.
    Ask,
    /// A longer lease.
    Renew,
    /// Takes back the rest of a grant.
    Close,
    /// Confirms an abort.
    Inert,
}

names!(Verb { Hello => "hello", Sync => "sync", Ask => "ask", Renew => "renew", Close => "close", Inert => "inert" });

impl Verb {
    /// The verb under which `request` is sent. A request that arrives under another one is to be refused.
    #[must_use]
    pub const fn of(request: &Request) -> Self {
        match request {
            Request::Hello(_) => Self::Hello,
            Request::Sync(_) => Self::Sync,
            Request::Ask(_) => Self::Ask,
            Request::Renew(_) => Self::Renew,
            Request::Close(_) => Self::Close,
            Request::Inert(_) => Self::Inert,
        }
    }
}

/// A subject between the coordinator and the shims of one tenant, without the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TenantSubject {
    /// `cmd.all`: plan, beat and abort, to every shim.
    CommandAll,
    /// `cmd.shim.<shim>`: unsolicited grants, to one shim.
    CommandShim {
        /// The receiver.
        shim: ShimId,
    },
    /// `ask.<shim>.<p>.<verb>`: everything that is answered.
    Ask {
        /// The sender.
        shim: ShimId,
        /// Of the session for ask, close and inert; of the shim for hello, sync and renew.
        partition: Partition,
        /// What is asked for.
        verb: Verb,
    },
    /// `ev.<shim>.<p>`: evidence, never with a reply.
    Evidence {
        /// The sender.
        shim: ShimId,
        /// Of the session.
        partition: Partition,
    },
}

/// A subject as the coordinator's account has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// `tenant.<t>.…`: to or from the shims of a tenant.
    Tenant {
        /// The tenant that the server vouches for. Never [`TenantId::fleet`], which does not parse here.
        tenant: TenantId,
        /// What comes after the tenant.
        subject: TenantSubject,
    },
    /// `ctl.alive.<replica>`: a replica says that it lives, every second. Not in the log.
    Alive {
        /// The sender.
        replica: ReplicaId,
    },
    /// `log.s.<tenant>.<session>`: the events of one session.
    SessionLog {
        /// The session, with its log tenant.
        session: SessionKey,
    },
    /// `log.lever.<scope>`: the halts of one scope.
    LeverLog {
        /// A tenant, or [`TenantId::fleet`] for the lever over all of them.
        scope: TenantId,
    },
    /// `log.barrier.<replica>`: writes that only show that a replica is fresh.
    BarrierLog {
        /// The writer.
        replica: ReplicaId,
    },
    /// `log.audit.<tenant>`: who gave which command, refused ones too. Nothing writes there yet; a replica that met a
    /// subject of the log that it doesn't know would stop everything, so those of the next version have their names.
    AuditLog {
        /// The log tenant.
        tenant: TenantId,
    },
    /// `log.tenant.<t>`: settings and consents. As [`Self::AuditLog`].
    TenantLog {
        /// The tenant.
        tenant: TenantId,
    },
}

/// What stands before a [`TenantSubject`], seen from one side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    /// `tenant.<t>.`, always.
    Coordinator {
        /// The tenant that is spoken to.
        tenant: TenantId,
    },
    /// A shim.
    Shim {
        /// `Some` in one account for all (`squall dev`): `tenant.<t>.`. `None` in production: nothing, the server adds it.
        tenant: Option<TenantId>,
    },
}

/// Why a text is not a subject of Squall.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSubject {
    /// The tokens are not those of any subject.
    #[error("is not a subject of Squall")]
    Unknown,
    /// The subject is of another tenant than the root.
    #[error("is not under the root {root:?}")]
    Root {
        /// The root that was expected.
        root: String,
    },
    /// A token is not an identifier.
    #[error("holds a token that {0}")]
    Token(#[from] InvalidId),
    /// The partition is not a number from 0 to 63 in its shortest form.
    #[error("holds a partition that is not 0 to 63")]
    Partition,
    /// The verb is unknown.
    #[error("ends in a verb that is not one of {}", Verb::allowed())]
    Verb,
    /// The log tenant of sessions that span tenants stands where only a real tenant may.
    #[error("is of the tenant {}, which has no shims", TenantId::FLEET)]
    Fleet,
}

impl Root {
    fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Coordinator { tenant } => Some(tenant),
            Self::Shim { tenant } => tenant.as_ref(),
        }
    }

    /// What stands before each subject: `tenant.<t>.`, or nothing.
    fn prefix(&self) -> String {
        self.tenant().map(|tenant| format!("tenant.{tenant}.")).unwrap_or_default()
    }

    /// The text of `subject` under this root.
    #[must_use]
    pub fn encode(&self, subject: &TenantSubject) -> String {
        format!("{}{subject}", self.prefix())
    }

    /// The subject that `text` is under this root.
    ///
    /// # Errors
    /// [`InvalidSubject`] says what does not fit, another tenant included.
    pub fn parse(&self, text: &str) -> Result<TenantSubject, InvalidSubject> {
        let root = self.prefix();
        text.strip_prefix(root.as_str()).ok_or(InvalidSubject::Root { root })?.parse()
    }
}

impl TenantSubject {
    /// The subject of `request` from `shim`. The partition is the session's for Ask, Close and Inert, else the shim's.
    #[must_use]
    pub fn ask(tenant: &TenantId, shim: &ShimId, request: &Request) -> Self {
        let partition = match request {
            Request::Hello(_) | Request::Sync(_) | Request::Renew(_) => {
                Partition::of_shim(tenant, shim)
            }
            Request::Ask(ask) => Partition::of_session(&ask.session),
            Request::Close(close) => Partition::of_session(&close.grant.session),
            Request::Inert(inert) => Partition::of_session(&inert.session),
        };
        Self::Ask { shim: shim.clone(), partition, verb: Verb::of(request) }
    }
}

impl fmt::Display for TenantSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandAll => f.write_str("cmd.all"),
            Self::CommandShim { shim } => write!(f, "cmd.shim.{shim}"),
            Self::Ask { shim, partition, verb } => {
                write!(f, "ask.{shim}.{partition}.{}", verb.name())
            }
            Self::Evidence { shim, partition } => write!(f, "ev.{shim}.{partition}"),
        }
    }
}

impl FromStr for TenantSubject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        match tokens(text).as_slice() {
            ["cmd", "all"] => Ok(Self::CommandAll),
            ["cmd", "shim", shim] => Ok(Self::CommandShim { shim: shim.parse()? }),
            ["ask", shim, partition, verb] => Ok(Self::Ask {
                shim: shim.parse()?,
                partition: partition.parse()?,
                verb: Verb::from_name(verb).ok_or(InvalidSubject::Verb)?,
            }),
            ["ev", shim, partition] => {
                Ok(Self::Evidence { shim: shim.parse()?, partition: partition.parse()? })
            }
            _ => Err(InvalidSubject::Unknown),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant { tenant, subject } => write!(f, "tenant.{tenant}.{subject}"),
            Self::Alive { replica } => write!(f, "ctl.alive.{replica}"),
            Self::SessionLog { session: SessionKey { tenant, session } } => {
                write!(f, "log.s.{tenant}.{session}")
            }
            Self::LeverLog { scope } => write!(f, "log.lever.{scope}"),
            Self::BarrierLog { replica } => write!(f, "log.barrier.{replica}"),
            Self::AuditLog { tenant } => write!(f, "log.audit.{tenant}"),
            Self::TenantLog { tenant } => write!(f, "log.tenant.{tenant}"),
        }
    }
}

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        if let Some(rest) = text.strip_prefix("tenant.") {
            return tenant_subject(rest);
        }
        match tokens(text).as_slice() {
            ["ctl", "alive", replica] => Ok(Self::Alive { replica: replica.parse()? }),
            ["log", "s", tenant, session] => Ok(Self::SessionLog {
                session: SessionKey { tenant: tenant.parse()?, session: session.parse()? },
            }),
            ["log", "lever", scope] => Ok(Self::LeverLog { scope: scope.parse()? }),
            ["log", "barrier", replica] => Ok(Self::BarrierLog { replica: replica.parse()? }),
            ["log", "audit", tenant] => Ok(Self::AuditLog { tenant: tenant.parse()? }),
            ["log", "tenant", tenant] => Ok(Self::TenantLog { tenant: tenant.parse()? }),
            _ => Err(InvalidSubject::Unknown),
        }
    }
}

fn tenant_subject(rest: &str) -> Result<Subject, InvalidSubject> {
    let (tenant, subject) = rest.split_once('.').ok_or(InvalidSubject::Unknown)?;
    let tenant = TenantId::new(tenant)?;
    if tenant.is_fleet() {
        return Err(InvalidSubject::Fleet);
    }
    Ok(Subject::Tenant { tenant, subject: subject.parse()? })
}

/// The tokens of a subject; a fifth one holds all the rest, and no subject has it.
fn tokens(text: &str) -> Vec<&str> {
    text.splitn(5, '.').collect()
}

#[cfg(test)]
mod tests;
