//! What shims and clients say to a replica.

use super::cast::{named, tenant};
use super::*;

impl Bench {
    pub(in crate::engine::tests) fn send(
        &mut self,
        index: usize,
        shim: &str,
        request: Request,
    ) -> Token {
        self.send_as(index, tenant(), shim, request)
    }

    /// A shim of another tenant speaks.
    pub(in crate::engine::tests) fn intrude(&mut self, shim: &str, request: Request) -> Token {
        self.send_as(0, "evil".parse().unwrap(), shim, request)
    }

    fn send_as(&mut self, index: usize, tenant: TenantId, shim: &str, request: Request) -> Token {
        let token = self.token();
        let shim = ShimId::new(shim).unwrap();
        self.engines[index]
            .handle(self.now, Input::Request { token, tenant, shim, request: Box::new(request) });
        self.settle();
        token
    }

    pub(in crate::engine::tests) fn ask(&mut self, shim: &str, req_no: u64, want: u32) -> Token {
        self.ask_at(0, shim, req_no, want)
    }

    pub(in crate::engine::tests) fn ask_at(
        &mut self,
        index: usize,
        shim: &str,
        req_no: u64,
        want: u32,
    ) -> Token {
        let request = self.asks(shim, req_no, want);
        self.send(index, shim, request)
    }

    /// An Ask for permits of the main session.
    pub(in crate::engine::tests) fn asks(&self, shim: &str, req_no: u64, want: u32) -> Request {
        let agent = AgentName::new("planner").unwrap();
        let scope = ScopeKeys { agent, trace: None, request: 1 };
        let (incarnation, sent) = (incarnation(shim), self.now.boot);
        Request::Ask(Ask { incarnation, session: key(), req_no, want, scope, sent })
    }

    pub(in crate::engine::tests) fn close(&mut self, shim: &str, req_no: u64, used: u32) -> Token {
        let grant = GrantRef { session: key(), req_no };
        self.send(0, shim, Request::Close(Close { incarnation: incarnation(shim), grant, used }))
    }

    pub(in crate::engine::tests) fn renew(&mut self, shim: &str) -> Token {
        let renew = Renew {
            incarnation: incarnation(shim),
            sent: self.now.boot,
            plan: None,
            sticky_aborts: vec![],
        };
        self.send(0, shim, Request::Renew(renew))
    }

    pub(in crate::engine::tests) fn inert(&mut self, shim: &str, epoch: AbortEpoch) -> Token {
        self.send(0, shim, inert(shim, epoch))
    }

    pub(in crate::engine::tests) fn hello_with_abort(&mut self, shim: &str) -> Token {
        self.send(0, shim, Request::Hello(reporting(shim, &["main"])))
    }

    pub(in crate::engine::tests) fn order(&mut self, request: &str, kind: OrderKind) -> Token {
        let token = self.token();
        let request = RequestId::new(request).unwrap();
        let order = Order { request, actor: "tester".parse().unwrap(), kind };
        self.engines[0].handle(self.now, Input::Order { token, order: Box::new(order) });
        self.settle();
        token
    }

    pub(in crate::engine::tests) fn create(&mut self, spec: SessionSpec) -> Token {
        self.create_named("main", spec)
    }

    pub(in crate::engine::tests) fn create_named(
        &mut self,
        session: &str,
        spec: SessionSpec,
    ) -> Token {
        let mut digest = Hash::default();
        digest[..4].copy_from_slice(&spec.safety.max_affected_requests.to_le_bytes());
        self.order(
            &format!("create-{session}"),
            OrderKind::Create { key: named(session), spec: Arc::new(spec), digest },
        )
    }

    pub(in crate::engine::tests) fn command(
        &mut self,
        request: &str,
        command: ClientCommand,
    ) -> Token {
        self.command_for("main", request, command)
    }

    pub(in crate::engine::tests) fn command_for(
        &mut self,
        session: &str,
        request: &str,
        command: ClientCommand,
    ) -> Token {
        self.order(request, OrderKind::Session { key: named(session), command })
    }

    pub(in crate::engine::tests) fn abort(&mut self) -> Token {
        self.command("abort", ClientCommand::Abort { reason: "enough".into() })
    }

    pub(in crate::engine::tests) fn engage(&mut self) -> Token {
        self.engage_as("engage")
    }

    pub(in crate::engine::tests) fn engage_as(&mut self, request: &str) -> Token {
        self.order(request, OrderKind::Engage { scope: Scope::Fleet, reason: "smoke".into() })
    }

    pub(in crate::engine::tests) fn release(&mut self) -> Token {
        self.release_as("release")
    }

    pub(in crate::engine::tests) fn release_as(&mut self, request: &str) -> Token {
        self.order(request, OrderKind::Release { scope: Scope::Fleet, reason: "clear".into() })
    }
}
