//! From the bytes of a record to what it says.

use anyhow::{Context, Result, bail, ensure};

use super::{Command, Entry, Event, Grant, Holder, LeverEvent, Radius, Record, Spec};
use crate::schema::{Fields, Schema};

/// The format that this checker reads.
const VERSION: u64 = 1;

impl Schema {
    /// What the bytes at `subject` say.
    #[must_use]
    pub fn record(&self, sequence: u64, wall_ns: u64, subject: &str, bytes: &[u8]) -> Record {
        let (append, previous, entry) = self.understand(subject, bytes).unwrap_or_else(|error| {
            (String::new(), String::new(), Entry::Unreadable(format!("{error:#}")))
        });
        let hash = blake3::hash(bytes).to_hex().to_string();
        Record { sequence, wall_ns, subject: subject.to_owned(), append, previous, hash, entry }
    }

    fn understand(&self, subject: &str, bytes: &[u8]) -> Result<(String, String, Entry)> {
        let tokens: Vec<&str> = subject.split('.').collect();
        match tokens.as_slice() {
            ["log", "s", tenant, session] => {
                let fields = head(Fields::decode(&self.session, bytes)?)?;
                let events = fields.messages("events")?;
                ensure!(!events.is_empty(), "no events");
                let entry = Entry::Session {
                    session: format!("{tenant}/{session}"),
                    issued: fields.number("issued")?,
                    refunded: fields.number("refunded")?,
                    events: events.iter().map(event).collect::<Result<_>>()?,
                };
                Ok((fields.hex("append")?, fields.hex("previous")?, entry))
            }
            ["log", "lever", scope] => {
                let fields = head(Fields::decode(&self.lever, bytes)?)?;
                let events = fields.messages("events")?.iter().map(lever_event).collect();
                let entry = Entry::Lever { scope: (*scope).to_owned(), events: events_of(events)? };
                Ok((fields.hex("append")?, fields.hex("previous")?, entry))
            }
            ["log", "barrier", _] => Ok((String::new(), String::new(), Entry::Barrier)),
            _ => bail!("nothing is known to stand there"),
        }
    }
}

fn events_of<T>(events: Vec<Result<T>>) -> Result<Vec<T>> {
    ensure!(!events.is_empty(), "no events");
    events.into_iter().collect()
}

fn head(fields: Fields) -> Result<Fields> {
    let version = fields.number("version")?;
    ensure!(version == VERSION, "its format is {version}");
    ensure!(fields.bytes("append")?.len() == 16, "its append id isn't 16 bytes");
    ensure!(fields.bytes("previous")?.len() == 32, "the hash before it isn't 32 bytes");
    Ok(fields)
}

fn command(fields: &Fields) -> Result<Option<Command>> {
    let Some(command) = fields.maybe("command")? else { return Ok(None) };
    let op = match command.number("kind")? {
        1 => "create",
        2 => "start",
        3 => "pause",
        4 => "resume",
        5 => "stop",
        6 => "abort",
        7 => "engage",
        8 => "release",
        other => bail!("command {other}"),
    };
    Ok(Some(Command { request: command.text("request")?, op }))
}

fn event(fields: &Fields) -> Result<(Option<Command>, Event)> {
    let which = fields.which("event")?;
    let of = fields.message(&which)?;
    let event = match which.as_str() {
        "created" => Event::Created(Box::new(spec(&of.message("spec")?)?)),
        "started" => Event::Started,
        "paused" => Event::Paused,
        "resumed" => Event::Resumed,
        "drain_began" => Event::DrainBegan,
        "ended" => Event::Ended(of.small("how")?),
        "scope_bound" => Event::ScopeBound { tenant: of.text("tenant")?, scope: scope(&of)? },
        "grant_issued" => Event::Issued(Grant {
            holder: holder(&of.message("holder")?)?,
            req_no: of.number("req_no")?,
            permits: of.small("permits")?,
            agent: of.text("agent")?,
            trace: of.optional_text("trace")?,
        }),
        "grant_closed" => Event::Closed {
            holder: holder(&of.message("holder")?)?,
            req_no: of.number("req_no")?,
            used: of.small("used")?,
        },
        "aborted" => Event::Aborted { cause: of.small("cause")?, lever: of.number("lever")? },
        "inert_confirmed" => Event::Inert { holder: holder(&of.message("holder")?)? },
        "stop_proven" => Event::Proven {
            by: of.small("by")?,
            out_of_contact: of
                .messages("out_of_contact")?
                .iter()
                .map(holder)
                .collect::<Result<_>>()?,
        },
        "guard_tripped" => Event::GuardTripped,
        "log_damaged" => Event::LogDamaged(of.text("why")?),
        other => bail!("event {other}"),
    };
    Ok((command(fields)?, event))
}

fn scope(fields: &Fields) -> Result<String> {
    let which = fields.which("scope")?;
    if which == "request" { Ok(fields.number(&which)?.to_string()) } else { fields.text(&which) }
}

fn holder(fields: &Fields) -> Result<Holder> {
    Ok(Holder {
        tenant: fields.text("tenant")?,
        shim: fields.text("shim")?,
        incarnation: fields.hex("incarnation")?,
    })
}

fn lever_event(fields: &Fields) -> Result<(Option<Command>, LeverEvent)> {
    let event = match fields.which("event")?.as_str() {
        "engaged" => LeverEvent::Engaged,
        "released" => LeverEvent::Released,
        "renewed" => LeverEvent::Renewed,
        other => bail!("event {other}"),
    };
    Ok((command(fields)?, event))
}

fn spec(fields: &Fields) -> Result<Spec> {
    let (safety, target) = (fields.message("safety")?, fields.message("target")?);
    let experiments = fields.messages("experiments")?;
    let mut tools = target.texts("tools")?;
    let mut hold_ms = 0;
    for experiment in &experiments {
        tools.extend(experiment.texts("tools")?);
        if let Some(fault) = experiment.message("fault")?.maybe("tool_unavailable")? {
            hold_ms = fault.number("timeout_ms")?;
        }
    }
    let rate = safety.maybe("max_rate")?;
    let rate =
        rate.map(|rate| anyhow::Ok((rate.small("permits")?, rate.number("window_s")?))).transpose();
    Ok(Spec {
        radius: match safety.number("blast_radius")? {
            1 => Radius::Request,
            2 => Radius::Agent,
            3 => Radius::Trace,
            4 => Radius::Tenant,
            5 => Radius::Tenants,
            other => bail!("blast radius {other}"),
        },
        budget: safety.number("max_affected_requests").context("the budget")?,
        per_tenant: safety.numbers_by_name("max_per_tenant")?,
        per_agent: safety.optional("max_per_agent")?,
        per_trace: safety.optional("max_per_trace")?,
        concurrent: safety.optional("max_concurrent")?,
        rate: rate?,
        tenants: target.texts("tenants")?,
        tools,
        hold_ms,
    })
}
