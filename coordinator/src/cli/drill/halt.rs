//! The halt of a drill: engaged over a session of its own, and released again. It hits everybody of the tenant, so that only
//! `--halt` does it.

use std::time::Duration;

use squall_proto::wire::v1::halt_scope::Scope;
use squall_proto::wire::v1::{
    AllTenants, EngageHaltRequest, GetHaltRequest, Halt, HaltScope, ReleaseHaltRequest,
};
use uuid::Uuid;

use super::Drill;
use super::judge::Promise;
use super::line::{Answer, Server, soon};
use crate::cli::client::Client;
use crate::cli::failure::Failure;

/// Longest wait for an answer, over all coordinators.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

impl Drill {
    /// Halts the tenant while the session of this round runs, waits for its proof, and releases the halt.
    pub(super) async fn halt(&self, round: usize) {
        let sent = self.at();
        let (id, scope) = (Uuid::new_v4().simple().to_string(), self.scope());
        self.may_be_halted.store(true, std::sync::atomic::Ordering::Relaxed);
        let engage = async |mut client: Client| {
            let (request_id, reason) = (id.clone(), self.reason());
            let message = EngageHaltRequest { scope: Some(scope.clone()), reason, request_id };
            client.fleet.engage_halt(soon(message)).await
        };
        match self.lines.ask(GIVE_UP_AFTER, |_, _| {}, engage).await {
            Answer::Done(_, halt) => {
                let answered = self.at();
                let mut judge = self.judge();
                judge.rounds[round].halt = Some(halt.epoch);
                judge.rounds[round].halted = Some((sent, answered));
            }
            Answer::Refused(failure) | Answer::Silence(failure) => {
                let why = format!("the halt was not engaged: {failure}");
                self.judge().untested(Promise::Stop, why);
                return self.stop(round).await;
            }
        }
        self.proof(round).await;
    }

    /// Releases the halt if it is this drill's; what is left, where it can't be.
    pub(super) async fn release(&self) -> Option<String> {
        if !self.may_be_halted.load(std::sync::atomic::Ordering::Relaxed) {
            return None;
        }
        let left = |failure: Failure| {
            Some(format!(
                "a halt of tenant {} may be engaged ({failure}): `squall halt status`, `squall halt release --tenant {} --reason drill`",
                self.tenant, self.tenant
            ))
        };
        match self.halted(self.scope()).await {
            Ok(halt) if halt.engaged && halt.reason == self.reason() => {}
            Ok(_) => return None,
            Err(failure) => return left(failure),
        }
        let id = Uuid::new_v4().simple().to_string();
        let release = async |mut client: Client| {
            let (request_id, reason) = (id.clone(), self.reason());
            let message = ReleaseHaltRequest { scope: Some(self.scope()), reason, request_id };
            client.fleet.release_halt(soon(message)).await
        };
        match self.lines.ask(GIVE_UP_AFTER, |_, _| {}, release).await {
            Answer::Done(_, _) => None,
            Answer::Refused(failure) | Answer::Silence(failure) => left(failure),
        }
    }

    /// Why the tenant is halted already, if it is: a halt of somebody else is not ours to release.
    pub(super) async fn halted_already(&self) -> Result<Option<String>, Failure> {
        let all = HaltScope { scope: Some(Scope::All(AllTenants {})) };
        for scope in [self.scope(), all] {
            let halt = self.halted(scope).await?;
            if halt.engaged {
                return Ok(Some(format!("{} (by {})", halt.reason, halt.actor)));
            }
        }
        Ok(None)
    }

    async fn halted(&self, scope: HaltScope) -> Result<Halt, Failure> {
        let get = async |mut client: Client| {
            client.fleet.get_halt(soon(GetHaltRequest { scope: Some(scope.clone()) })).await
        };
        match self.lines.ask(GIVE_UP_AFTER, |_: &Server, _: &Failure| {}, get).await {
            Answer::Done(_, halt) => Ok(*halt),
            Answer::Refused(failure) | Answer::Silence(failure) => Err(failure),
        }
    }

    fn scope(&self) -> HaltScope {
        HaltScope { scope: Some(Scope::Tenant(self.tenant.to_string())) }
    }
}
