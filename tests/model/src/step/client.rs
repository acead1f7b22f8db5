//! What clients and operators do.

use std::sync::Arc;

use squall_domain::event::{CommandKind, CommandRef, LeverEvent};
use squall_domain::lever::Scope;
use squall_domain::rejection::Rejection;
use squall_domain::session::{ClientCommand, Outlook};
use squall_proto::vocabulary::id::{Actor, RequestId, TenantId};
use squall_proto::vocabulary::message::Command;
use squall_proto::vocabulary::plan::AbortEpoch;

use super::{Done, letter, post, send};
use crate::cast::tenant;
use crate::fleet::{Deed, Fleet, State};
use crate::invariant::{Invariant, hold};
use crate::mail::Mail;
use crate::replica::by;

impl Fleet {
    pub(super) fn deed(&self, state: &mut State, deed: usize, replica: usize) -> Done {
        if state.refused.contains(&deed) {
            return None; // Its client knows.
        }
        state.tried[deed] += 1;
        let command = match &self.deeds[deed] {
            Deed::Start => ClientCommand::Start,
            Deed::Pause => ClientCommand::Pause,
            Deed::Resume => ClientCommand::Resume,
            Deed::Stop => ClientCommand::Stop,
            Deed::Abort => ClientCommand::Abort { reason: "enough".to_owned() },
            Deed::Engage(scope) => {
                return self.pull(state, replica, deed, scope, CommandKind::Engage);
            }
            Deed::Release(scope) => {
                return self.pull(state, replica, deed, scope, CommandKind::Release);
            }
        };
        let it = Arc::clone(&state.replicas[replica]);
        let session = it.session(&self.key)?;
        let engaged = it.view.world.engaged_for(session);
        let engaged = engaged.map(|(scope, _)| (scope.to_string(), "fire".to_owned()));
        let outlook = Outlook { shims: 2, log_is_synced: true, engaged, ..Outlook::default() };
        match session.decide(&request_of(deed), &command, &outlook) {
            Ok(events) => {
                let by_client = command_of(deed, command.kind());
                let events_are_empty = events.is_empty();
                let events = events.into_iter().map(|event| by(&by_client, event)).collect();
                let append = Arc::new(it.append(replica, &self.key, events));
                let append = Some(&append).filter(|_| !events_are_empty)?;
                if !self.append(state, replica, append) {
                    return None;
                }
                if self.deeds[deed] == Deed::Abort {
                    let epoch = AbortEpoch::Pushed(append.id);
                    let abort = Command::Abort { session: self.key.clone(), epoch };
                    self.push(state, session.tenants(), &abort);
                }
                Some(Ok(()))
            }
            // What stands on other subjects may change while an append is on its way: such a refusal is of its moment only.
            Err(Rejection::Unmet(_)) => None,
            // Who refuses has folded everything: a view that lags would refuse what it only doesn't know yet.
            Err(_) if it.view.print == state.log.print && !state.refused.contains(&deed) => {
                state.refused.push(deed);
                let done = state.log.book.commands.contains(&request_of(deed));
                Some(hold(!done, Invariant::Commands, || {
                    format!("{:?} is in the log and refused", self.deeds[deed])
                }))
            }
            Err(_) => None,
        }
    }

    pub(super) fn pull(
        &self,
        state: &mut State,
        replica: usize,
        deed: usize,
        scope: &Scope,
        kind: CommandKind,
    ) -> Done {
        let it = Arc::clone(&state.replicas[replica]);
        let lever = it.view.world.lever(scope).cloned().unwrap_or_default();
        let events = lever.decide(scope, &request_of(deed), kind, "fire").ok()?;
        let event = events.into_iter().next()?;
        let engages = matches!(event, LeverEvent::Engaged { .. });
        let append = Arc::new(it.pull(replica, scope, by(&command_of(deed, kind), event)));
        let epoch = AbortEpoch::Pushed(append.id);
        if !send(state, &append) {
            return None;
        }
        if engages {
            let tenants = self.seats.iter().map(|seat| tenant(seat.tenant));
            let covered = |of: &TenantId| match scope {
                Scope::Fleet => true,
                Scope::Tenant(tenant) => tenant == of,
            };
            self.push(state, tenants.filter(covered).collect(), &Command::Halt { epoch });
        }
        Some(Ok(()))
    }

    pub(super) fn push(&self, state: &mut State, tenants: Vec<TenantId>, command: &Command) {
        for tenant in tenants {
            let command = command.clone();
            post(state, &letter(Mail::Command { tenant, to: None, command }));
        }
    }
}

/// Each deed is one command of one client, however often it is tried.
pub(super) fn request_of(deed: usize) -> RequestId {
    RequestId::new(format!("deed{deed}")).expect("a word and a number are a token")
}

fn command_of(deed: usize, kind: CommandKind) -> CommandRef {
    let actor = Actor::new("ann").expect("names of the cast are names");
    CommandRef { request: request_of(deed), actor, kind }
}
