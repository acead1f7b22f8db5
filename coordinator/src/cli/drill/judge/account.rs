//! The permits of one session, added up from its log as clients read it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use squall_proto::wire::v1::LogEvent;

/// What a session's events add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Permits issued.
    pub(super) issued: u64,
    /// Permits given back.
    pub(super) refunded: u64,
    /// Holders that confirmed the stop, with the permits that each burned in all.
    confirmed: BTreeMap<String, u64>,
    grants: BTreeMap<(String, u64), Grant>,
    stage: Stage,
    /// What the log holds and must not, in words.
    pub(super) wrong: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grant {
    permits: u64,
    used: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Draft,
    Running,
    Paused,
    Draining,
    Ended,
}

impl Account {
    /// Adds up the events of a session with this budget.
    pub(super) fn of(events: &[LogEvent], budget: u64) -> Self {
        let mut account = Self::default();
        for event in events {
            if let Err(why) = account.add(event, budget) {
                account.wrong.push(format!("{} at {}: {why}", event.kind, event.sequence));
            }
        }
        account
    }

    /// Permits that can have been burned at most: what holders said at the stop, else what they said when they closed, else
    /// all that they had.
    pub(super) fn burned(&self) -> u64 {
        let holders: BTreeSet<&String> = self.grants.keys().map(|(holder, _)| holder).collect();
        let held = |holder: &String| {
            let of = self.grants.iter().filter(|((other, _), _)| other == holder);
            of.map(|(_, grant)| grant.used.unwrap_or(grant.permits)).sum::<u64>()
        };
        let burned = |holder| self.confirmed.get(holder).copied().unwrap_or_else(|| held(holder));
        holders.into_iter().map(burned).sum()
    }

    /// Processes that were given permits.
    pub(super) fn holders(&self) -> BTreeSet<&str> {
        self.grants.keys().map(|(holder, _)| holder.as_str()).collect()
    }

    fn add(&mut self, event: &LogEvent, budget: u64) -> Result<(), String> {
        let detail: Value = serde_json::from_str(&event.detail_json)
            .map_err(|error| format!("its detail is no JSON: {error}"))?;
        match event.kind.as_str() {
            "started" | "resumed" => self.stage = Stage::Running,
            "paused" => self.stage = Stage::Paused,
            "drain_began" => self.stage = Stage::Draining,
            "ended" | "aborted" => self.stage = Stage::Ended,
            "grant_issued" => self.issue(&detail, budget)?,
            "grant_closed" => self.close(&detail)?,
            "inert_confirmed" => {
                self.confirmed.insert(holder(&detail)?, number(&detail, "used")?);
            }
            // Nothing that permits depend on; kinds that come later included.
            _ => {}
        }
        Ok(())
    }

    fn issue(&mut self, detail: &Value, budget: u64) -> Result<(), String> {
        let permits = number(detail, "permits")?;
        let key = (holder(detail)?, number(detail, "req_no")?);
        self.issued = self.issued.saturating_add(permits);
        if self.grants.insert(key, Grant { permits, used: None }).is_some() {
            return Err("the same grant was issued before".to_owned());
        }
        let spent = self.issued.saturating_sub(self.refunded);
        if spent > budget {
            return Err(format!("{spent} permits are spent, of {budget}"));
        }
        match self.stage {
            Stage::Running => Ok(()),
            Stage::Draft => Err("permits before the start".to_owned()),
            Stage::Paused => Err("permits in a pause".to_owned()),
            Stage::Draining | Stage::Ended => Err("permits after the end".to_owned()),
        }
    }

    fn close(&mut self, detail: &Value) -> Result<(), String> {
        let used = number(detail, "used")?;
        let key = (holder(detail)?, number(detail, "req_no")?);
        let grant = self.grants.get_mut(&key).ok_or("a grant that nobody issued")?;
        if grant.used.replace(used).is_some() {
            return Err("the same grant was closed before".to_owned());
        }
        let rest = grant.permits.checked_sub(used).ok_or("more was used than was issued")?;
        self.refunded = self.refunded.saturating_add(rest);
        Ok(())
    }
}

/// The process, in words: tenant, name, life.
fn holder(detail: &Value) -> Result<String, String> {
    let text = |name: &str| detail["holder"][name].as_str().map(str::to_owned);
    let parts = [text("tenant"), text("shim"), text("incarnation")];
    let parts: Option<Vec<String>> = parts.into_iter().collect();
    parts.map(|parts| parts.join("/")).ok_or_else(|| "its detail names no holder".to_owned())
}

fn number(detail: &Value, name: &str) -> Result<u64, String> {
    detail[name].as_u64().ok_or_else(|| format!("its detail has no {name}"))
}
