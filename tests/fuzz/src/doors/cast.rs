//! A small world for inputs that are read as scripts: few tenants, shims, sessions and numbers, so that what is said at
//! random often concerns what was said before.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::id::{
    AgentName, Environment, Incarnation, LogId, SessionKey, ShimId, TenantId, ToolName, TraceId,
};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::session::SessionSpec;
use squall_proto::vocabulary::time::BootNanos;

/// An input as a script: each byte is a choice. What is missing at its end counts as 0.
pub(super) struct Script<'a>(pub(super) &'a [u8]);

impl Script<'_> {
    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u8) -> u8 {
        self.byte() % end
    }

    pub(super) fn is_yes(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    pub(super) fn pick<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        let at = usize::from(self.byte()) % choices.len();
        &choices[at]
    }

    /// A number near what is common, or at the ends of what there is.
    pub(super) fn number(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX,
            254 => u64::MAX / 2,
            253 => 1 << 40,
            252 => u64::from(u32::MAX),
            251 => u64::from(self.byte()) << 8 | u64::from(self.byte()),
            small => u64::from(small),
        }
    }

    /// Some of the script, to be read as something else.
    pub(super) fn bytes(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes.to_vec()
    }

    pub(super) fn span(&mut self) -> Duration {
        const MILLIS: [u64; 16] =
            [0, 0, 1, 10, 20, 50, 100, 200, 250, 500, 1_000, 2_000, 3_100, 11_000, 90_000, 700_000];
        Duration::from_millis(*self.pick(&MILLIS))
    }

    pub(super) fn session(&mut self) -> SessionKey {
        session(usize::from(self.byte()))
    }

    pub(super) fn incarnation(&mut self) -> Incarnation {
        incarnation(self.below(4))
    }

    pub(super) fn agent(&mut self) -> AgentName {
        agent(self.below(2))
    }

    pub(super) fn trace(&mut self) -> Option<TraceId> {
        let name = *self.pick(&["", "trace-1", "trace-2"]);
        TraceId::new(name).ok()
    }

    pub(super) fn moment(&mut self) -> BootNanos {
        BootNanos(self.number())
    }
}

fn word<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no word"))
}

pub(super) fn tenant() -> TenantId {
    word("acme")
}

pub(super) fn tenants() -> [TenantId; 2] {
    [tenant(), word("beta")]
}

pub(super) fn shim(number: u8) -> ShimId {
    word(&format!("shim-{number}"))
}

pub(super) fn incarnation(number: u8) -> Incarnation {
    Incarnation([number; 16])
}

pub(super) fn log(number: u8) -> LogId {
    word(&format!("log-{number}"))
}

pub(super) fn agent(number: u8) -> AgentName {
    word(["planner", "writer"][usize::from(number % 2)])
}

pub(super) fn tool() -> ToolName {
    word("search")
}

pub(super) fn environment() -> Environment {
    word("ci")
}

/// Every kind of fault, each with its defaults.
fn faults() -> [String; 6] {
    FaultKind::ALL
        .iter()
        .map(|kind| format!("{{fault: {{{}: {{}}}}}}", kind.name()))
        .collect::<Vec<_>>()
        .try_into()
        .expect("there are six kinds")
}

/// What sessions do: each has its own specification, which never changes.
fn specs() -> &'static [(SessionKey, Arc<SessionSpec>)] {
    static SPECS: OnceLock<Vec<(SessionKey, Arc<SessionSpec>)>> = OnceLock::new();
    SPECS.get_or_init(|| {
        let any = faults().join(", ");
        let error = "{fault: {error: {}}}";
        [
            ("acme", "strict", error, "max_affected_requests: 9"),
            ("acme", "claim", error, "max_affected_requests: 9, strictness: strict_claim"),
            ("acme", "eventual", error, "max_affected_requests: 9, strictness: eventual"),
            ("acme", "large", any.as_str(), "max_affected_requests: 1000000, max_outstanding: 600"),
            ("acme", "one", error, "max_affected_requests: 1, blast_radius: single_request"),
            ("acme", "agent", error, "max_affected_requests: 40, blast_radius: single_agent"),
            (
                "acme",
                "bounded",
                error,
                "max_affected_requests: 60, max_per_agent: 5, max_concurrent: 4, max_duration_s: 60, \
                 max_rate: {permits: 9, window_s: 1}, cascade_threshold: 2, max_outstanding: 60",
            ),
            ("beta", "strict", error, "max_affected_requests: 9"),
            (
                TenantId::FLEET,
                "all",
                error,
                "max_affected_requests: 30, blast_radius: multi_tenant, max_per_tenant: {acme: 7}",
            ),
        ]
        .into_iter()
        .map(|(tenant, session, experiments, safety)| {
            let key = SessionKey { tenant: word(tenant), session: word(session) };
            let tenants = if key.tenant.is_fleet() { "{tenants: [acme, beta]}" } else { "{}" };
            let text = format!(
                "{{experiments: [{experiments}], safety: {{accept_lazy_log: true, {safety}}}, target: {tenants}}}"
            );
            let file = squall::session_file::SessionFile::parse(&text);
            (key, Arc::new(file.unwrap_or_else(|why| panic!("{text}: {why}")).spec))
        })
        .collect()
    })
}

pub(super) fn session(number: usize) -> SessionKey {
    let specs = specs();
    specs[number % specs.len()].0.clone()
}

/// What the session does; `None` of one that nobody knows.
pub(super) fn spec(key: &SessionKey) -> Option<Arc<SessionSpec>> {
    specs().iter().find(|(known, _)| known == key).map(|(_, spec)| Arc::clone(spec))
}
