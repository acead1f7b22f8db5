//! Where a transport's calls come from: the agent, the sites of its tools, and the identity of each call.

use std::collections::HashMap;
use std::sync::Arc;

use ::rmcp::model::{CallToolRequest, RequestMetaObject};
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::id::{AgentName, ToolName, TraceId};
use squall_proto::vocabulary::limits::{ANNOUNCED_MAX, FAULT_DURATION_MS_MAX};
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_shim_core::{Call, RequestKey, Site};

use crate::Shim;
use crate::traceparent::trace_of;

/// Where a call says which logical request it belongs to, best first.
const REQUEST_ID_KEYS: [&str; 2] = ["squall/requestId", "claudecode/toolUseId"];

/// One agent at one transport.
#[derive(Debug)]
pub(super) struct Seat {
    shim: Shim,
    agent: AgentName,
    seam: Seam,
    trace: Option<TraceId>,
    /// Sites by tool; at most as many as a shim announces, the rest passes.
    sites: HashMap<String, Arc<Site>>,
}

/// One call at its site.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) site: Arc<Site>,
    request: RequestKey,
    trace: Option<TraceId>,
}

impl Caller {
    pub(super) fn call(&self) -> Call<'_> {
        Call { request: self.request, trace: self.trace.as_ref() }
    }

    pub(super) fn point(&self) -> Point {
        self.site.seam().point
    }
}

impl Seat {
    pub(super) fn new(shim: Shim, agent: AgentName, point: Point) -> Self {
        let capabilities = Capabilities {
            block: true,
            rewrite_in: true,
            rewrite_out: true,
            disconnect: true,
            // The client's types hold no broken structure: only the strings of an answer can be damaged.
            structural: false,
            max_delay_ms: FAULT_DURATION_MS_MAX,
            knows_trace: false,
            stable_request_id: false,
        };
        let seam = Seam { name: "rmcp".to_owned(), point, shape: Shape::McpJsonRpc, capabilities };
        Self { shim, agent, seam, trace: None, sites: HashMap::new() }
    }

    pub(super) fn shim(&self) -> &Shim {
        &self.shim
    }

    pub(super) fn in_trace(&mut self, trace: TraceId) {
        self.trace = Some(trace);
        self.traced();
    }

    pub(super) fn traced(&mut self) {
        self.seam.capabilities.knows_trace = true;
    }

    pub(super) fn identified(&mut self) {
        self.seam.capabilities.stable_request_id = true;
    }

    /// Makes the sites of tools that the server listed, so that they are known before they are called.
    pub(super) fn announce<'a>(&mut self, tools: impl Iterator<Item = &'a str>) {
        for tool in tools {
            self.site(tool);
        }
    }

    /// Who calls, if any session is armed at the tool; otherwise nothing more is looked at.
    pub(super) fn caller(&mut self, call: &CallToolRequest) -> Option<Caller> {
        let site = self.site(&call.params.name)?;
        if !site.is_armed() {
            return None;
        }
        let site = Arc::clone(site);
        let text = |key: &str| {
            let of = |meta: &RequestMetaObject| Some(meta.0.0.get(key)?.as_str()?.to_owned());
            // Where both are set, rmcp sends the one beside the parameters.
            of(call.extensions.get().unwrap_or(&RequestMetaObject::new()))
                .or_else(|| call.params.meta.as_ref().and_then(of))
        };
        let request = REQUEST_ID_KEYS.iter().find_map(|key| text(key));
        let request = request.map_or_else(
            || self.shim.registry().fresh_request(),
            |request_id| RequestKey::of(&request_id),
        );
        let trace = text("traceparent").and_then(|traceparent| trace_of(&traceparent));
        Some(Caller { site, request, trace: trace.or_else(|| self.trace.clone()) })
    }

    fn site(&mut self, tool: &str) -> Option<&Arc<Site>> {
        if !self.sites.contains_key(tool) && self.sites.len() < ANNOUNCED_MAX {
            let name = ToolName::new(tool).ok()?;
            let site = self.shim.site(&self.agent, &name, &self.seam);
            self.sites.insert(tool.to_owned(), site);
        }
        self.sites.get(tool)
    }
}
