//! Messages. Once sent they stay: each is delivered any number of times, in any order, or never.
//!
//! Not here: who may read what; the subject vouches for the sender.

use std::fmt::Write;

use squall_proto::vocabulary::id::TenantId;
use squall_proto::vocabulary::message::{Command, Reply, Request};
use squall_proto::vocabulary::plan::{Plan, PlanSession};
use squall_shim_core::link::Correlation;

use crate::print::Print;

/// One message.
#[derive(Clone, Debug)]
pub enum Mail {
    /// A shim's request, to whatever replica it reaches.
    Up {
        /// The process that sent it.
        from: usize,
        /// When, in ticks of real time.
        sent: u8,
        /// Tells its answer.
        correlation: Correlation,
        /// What.
        request: Request,
    },
    /// The answer to one.
    Reply {
        /// The process that sent the request.
        to: usize,
        /// When it sent it, in ticks of real time.
        asked: u8,
        /// Tells the request.
        correlation: Correlation,
        /// What.
        reply: Reply,
    },
    /// To all shims of a tenant, or to one process.
    Command {
        /// Whose shims.
        tenant: TenantId,
        /// Only this process.
        to: Option<usize>,
        /// What.
        command: Command,
    },
}

impl Mail {
    /// Tells it from every other one.
    #[must_use]
    pub fn print(&self) -> u64 {
        let mut print = Print::default();
        match self {
            Self::Reply { to, asked, correlation, reply: Reply::Plan(plan) } => {
                print.show(&(to, asked, correlation));
                show_plan(&mut print, plan);
            }
            Self::Command { tenant, to, command: Command::Plan(plan) } => {
                print.show(&(tenant, to));
                show_plan(&mut print, plan);
            }
            Self::Up { .. } | Self::Reply { .. } | Self::Command { .. } => print.show(self),
        }
        print.finish()
    }

    /// For people: one line.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Up { from, request, .. } => format!("from process {from}: {}", brief(request)),
            Self::Reply { to, reply: Reply::Plan(plan), .. } => {
                format!("to process {to}: plan {}", plan.version.sequence)
            }
            Self::Reply { to, reply, .. } => format!("to process {to}: {}", brief(reply)),
            Self::Command { to, command: Command::Plan(plan), .. } => {
                format!("to {to:?}: plan {} after {:?}", plan.version.sequence, plan.previous)
            }
            Self::Command { to, command, .. } => format!("to {to:?}: {}", brief(command)),
        }
    }
}

fn brief(what: &impl std::fmt::Debug) -> String {
    format!("{what:?}").replace("00000000000000000000000000", "..")
}

/// Specifications never change, so that a plan's sessions need no more than what does.
fn show_plan(print: &mut Print, plan: &Plan) {
    let Plan { version, previous, page, pages, live, ended } = plan;
    print.show(&(version.sequence, previous, page, pages, ended));
    for session in live {
        let PlanSession { key, spec: _, seed: _, running, age, remaining, phi0, dry } = session;
        print.show(&(key, running, age, remaining, dry));
        write!(print, "{phi0}").expect("a hasher takes every text");
    }
}
