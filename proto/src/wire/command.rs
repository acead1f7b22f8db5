//! What the coordinator says unasked.

use super::read::{Read, field, missing, required, try_from_wire, within};
use super::v1;
use crate::vocabulary::message::Command;
use crate::vocabulary::violation::Check;

impl From<&Command> for v1::Command {
    fn from(command: &Command) -> Self {
        use v1::command;
        let command = match command {
            Command::Plan(plan) => command::Command::Plan(plan.into()),
            Command::Beat(version) => command::Command::Beat(version.into()),
            Command::Dry(session) => command::Command::Dry(session.into()),
            Command::Refill { session, phi0 } => {
                command::Command::Refill(v1::Refill { session: Some(session.into()), phi0: *phi0 })
            }
            Command::Pause { session, plan } => command::Command::Pause(v1::Pause {
                session: Some(session.into()),
                plan: Some(plan.into()),
            }),
            Command::Abort { session, epoch } => command::Command::Abort(v1::Abort {
                session: Some(session.into()),
                epoch: Some((*epoch).into()),
            }),
            Command::Halt { epoch } => {
                command::Command::Halt(v1::HaltAll { epoch: Some((*epoch).into()) })
            }
            Command::Grant(grant) => command::Command::Grant(grant.into()),
            Command::RollCall => command::Command::RollCall(v1::RollCall {}),
        };
        Self { command: Some(command) }
    }
}

impl Read<v1::Command> for Command {
    fn read(check: &mut Check, wire: v1::Command) -> Option<Self> {
        use v1::command;
        let v1::Command { command } = wire;
        match command {
            Some(command::Command::Plan(wire)) => field(check, "plan", wire).map(Self::Plan),
            Some(command::Command::Beat(wire)) => field(check, "beat", wire).map(Self::Beat),
            Some(command::Command::Dry(wire)) => field(check, "dry", wire).map(Self::Dry),
            Some(command::Command::Refill(wire)) => {
                check.field("refill", |check| refill(check, wire))
            }
            Some(command::Command::Pause(wire)) => check.field("pause", |check| pause(check, wire)),
            Some(command::Command::Abort(wire)) => check.field("abort", |check| abort(check, wire)),
            Some(command::Command::Halt(v1::HaltAll { epoch })) => check
                .field("halt", |check| required(check, "epoch", epoch))
                .map(|epoch| Self::Halt { epoch }),
            Some(command::Command::Grant(wire)) => field(check, "grant", wire).map(Self::Grant),
            Some(command::Command::RollCall(v1::RollCall {})) => Some(Self::RollCall),
            None => check.field("command", missing),
        }
    }
}

fn refill(check: &mut Check, wire: v1::Refill) -> Option<Command> {
    let v1::Refill { session, phi0 } = wire;
    let session = required(check, "session", session);
    let phi0 = within(check, "phi0", phi0, 0.0, 1.0);
    Some(Command::Refill { session: session?, phi0: phi0? })
}

fn pause(check: &mut Check, wire: v1::Pause) -> Option<Command> {
    let v1::Pause { session, plan } = wire;
    let session = required(check, "session", session);
    let plan = required(check, "plan", plan);
    Some(Command::Pause { session: session?, plan: plan? })
}

fn abort(check: &mut Check, wire: v1::Abort) -> Option<Command> {
    let v1::Abort { session, epoch } = wire;
    let session = required(check, "session", session);
    let epoch = required(check, "epoch", epoch);
    Some(Command::Abort { session: session?, epoch: epoch? })
}

try_from_wire!(Command => Command);
