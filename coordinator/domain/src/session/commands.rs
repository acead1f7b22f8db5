//! The client commands that a log subject holds, so that each is done once however often it is sent.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use squall_proto::vocabulary::id::RequestId;

use crate::event::{CommandKind, CommandRef};
use crate::rejection::Rejection;

/// Most command ids kept for one subject. A client repeats a command within seconds; a thousand later ones take minutes at least.
const COMMANDS_MAX: usize = 1024;

/// Command ids, newest last.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Commands {
    kinds: BTreeMap<RequestId, CommandKind>,
    order: VecDeque<RequestId>,
}

impl Commands {
    /// Whether this command is in the log already.
    ///
    /// # Errors
    /// [`Rejection::RequestReused`] when the id stands for another command.
    pub fn done(&self, request: &RequestId, kind: CommandKind) -> Result<bool, Rejection> {
        match self.kinds.get(request) {
            None => Ok(false),
            Some(before) if *before == kind => Ok(true),
            Some(before) => {
                Err(Rejection::RequestReused { request: request.clone(), before: *before })
            }
        }
    }

    /// The ids of the commands of one kind.
    pub fn of(&self, kind: CommandKind) -> impl Iterator<Item = &RequestId> {
        self.kinds.iter().filter(move |(_, known)| **known == kind).map(|(request, _)| request)
    }

    /// Keeps a command that was folded.
    pub fn note(&mut self, command: &CommandRef) {
        if self.kinds.insert(command.request.clone(), command.kind).is_none() {
            self.order.push_back(command.request.clone());
        }
        while self.order.len() > COMMANDS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.kinds.remove(&oldest);
            }
        }
    }
}
