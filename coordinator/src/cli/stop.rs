//! How far a stop is, as a person must be able to tell: pushed, aborted, or stopped and proven. The words "all stopped,
//! proven" stand here and nowhere else, and only where the coordinator says so (docs/protocol.md).

use comfy_table::Cell;
use jiff::Timestamp;
use squall_proto::wire::v1::{
    ConfirmedHolder, OutOfContactHolder, ProvenBy, StopReport, StopStage,
};

use super::moment::{between, length, moment, read, words};
use super::screen::Look;
use super::table::{Mark, fields, lines, marked, table};
use super::words::{count, life, list};

/// How long a proof is waited for unless told otherwise. By time alone it takes (TTL + D)(1 + rho)/(1 - rho) after a
/// barrier of the owner, 63.4 s at most; the rest is for an owner that has to take over first.
pub(super) const PROOF_WITHIN: &str = "90s";
/// Names of shims that fit into a line.
const NAMES_SHOWN: usize = 4;

/// Whether nothing runs any more, for certain.
pub(super) fn is_proven(stop: &StopReport) -> bool {
    stop.stage() == StopStage::StoppedProven
}

/// Whether there was an abort or a halt at all.
pub(super) fn is_one(stop: &StopReport) -> bool {
    match stop.stage() {
        StopStage::Unspecified | StopStage::None => false,
        StopStage::Pushed | StopStage::AbortedDurable | StopStage::StoppedProven => true,
    }
}

/// How far the stop is, in one line.
pub(super) fn verdict(stop: &StopReport) -> String {
    match stop.stage() {
        StopStage::Unspecified | StopStage::None => "not stopped".to_owned(),
        StopStage::Pushed => "pushed to the shims, not durable yet".to_owned(),
        StopStage::AbortedDurable => pending(&stop.out_of_contact),
        StopStage::StoppedProven => match stop.proven_by() {
            ProvenBy::Unspecified => "all stopped, proven".to_owned(),
            ProvenBy::Confirmations if stop.holder_count == 0 => {
                "no shim held a permit: all stopped, proven".to_owned()
            }
            ProvenBy::Confirmations => {
                "every holder of permits confirmed: all stopped, proven".to_owned()
            }
            ProvenBy::Time => "every lease is over for certain: all stopped, proven".to_owned(),
        },
    }
}

/// Who is out of contact and until when, in one line; empty when nobody is.
pub(super) fn missing(stop: &StopReport) -> String {
    let missing = &stop.out_of_contact;
    let name = |holder: &OutOfContactHolder| format!("{}/{}", holder.tenant, holder.shim);
    let names = list(&missing.iter().map(name).collect::<Vec<_>>(), NAMES_SHOWN);
    match (missing.is_empty(), latest(missing)) {
        (true, _) => String::new(),
        (false, None) => format!("out of contact: {names}"),
        (false, Some(at)) => {
            format!("out of contact: {names}, inert by {} at the latest", moment(Some(&at)))
        }
    }
}

/// By when the last of them is inert, once that is known.
fn latest(missing: &[OutOfContactHolder]) -> Option<prost_types::Timestamp> {
    missing.iter().filter_map(|holder| holder.inert_by).max_by_key(|at| (at.seconds, at.nanos))
}

fn pending(missing: &[OutOfContactHolder]) -> String {
    let shims = count(missing.len(), "shim");
    match (missing.is_empty(), latest(missing)) {
        (true, _) => "aborted, not proven yet".to_owned(),
        (false, None) => format!("aborted, not proven yet: {shims} out of contact"),
        (false, Some(at)) => {
            let at = moment(Some(&at));
            format!("aborted, not proven yet: {shims} out of contact, inert by {at} at the latest")
        }
    }
}

/// Everything that is known of a stop; its last line is the verdict.
pub(super) fn draw(stop: &StopReport, look: Look) -> String {
    let verdict = match stop.stage() {
        StopStage::StoppedProven => look.paint.good(&verdict(stop)),
        StopStage::Unspecified
        | StopStage::None
        | StopStage::Pushed
        | StopStage::AbortedDurable => look.paint.pending(&verdict(stop)),
    };
    let parts = [
        facts(stop, look),
        confirmed(stop, look),
        out_of_contact(stop, look),
        woken(stop),
        format!("{verdict}\n"),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn facts(stop: &StopReport, look: Look) -> String {
    let after = |at| match between(stop.accepted_at.as_ref(), at) {
        Some(length) => format!("{} later", words(length)),
        None => moment(at),
    };
    fields(
        look,
        &[
            ("reason", stop.reason.clone()),
            ("by", stop.actor.clone()),
            ("accepted", moment(stop.accepted_at.as_ref())),
            ("durable", after(stop.durable_at.as_ref())),
            ("last confirmation", after(stop.last_inert_at.as_ref())),
            ("proven", after(stop.proven_at.as_ref())),
            ("held permits", held(stop)),
            ("last injection", last_injection(stop)),
        ],
    )
}

/// How many have to confirm; empty while nobody knows.
fn held(stop: &StopReport) -> String {
    if stop.epoch == 0 {
        return String::new();
    }
    count(usize::try_from(stop.holder_count).unwrap_or(usize::MAX), "shim")
}

/// When the last injection of a shim had ended for certain: it says for how long, and its word took a while.
fn ended(holder: &ConfirmedHolder) -> Option<Timestamp> {
    let ago = length(holder.last_injection_ago.as_ref())?;
    read(holder.confirmed_at.as_ref())?.checked_sub(ago).ok()
}

fn name(holder: &ConfirmedHolder) -> String {
    format!("{}/{}", holder.tenant, holder.shim)
}

/// The end of the newest injection that is known of.
fn last_injection(stop: &StopReport) -> String {
    let ended = |holder: &ConfirmedHolder| Some((ended(holder)?, name(holder)));
    let newest: Option<(Timestamp, String)> = stop.confirmed.iter().filter_map(ended).max();
    let known = match newest {
        Some((at, shim)) => {
            format!("{} at the latest, by {shim}", at.strftime("%Y-%m-%d %H:%M:%S%.3fZ"))
        }
        None if stop.confirmed.is_empty() => return String::new(),
        None => "none".to_owned(),
    };
    if stop.out_of_contact.is_empty() { known } else { format!("{known}, of those who confirmed") }
}

fn confirmed(stop: &StopReport, look: Look) -> String {
    if stop.confirmed.is_empty() {
        return String::new();
    }
    let headings = ["confirmed", "life", "when", "last injection before that, at least"];
    let mut table = table(look, &headings);
    for holder in &stop.confirmed {
        let ago = length(holder.last_injection_ago.as_ref());
        let mark = if holder.late { Mark::Pending } else { Mark::Good };
        table.add_row(vec![
            marked(name(holder), mark),
            Cell::new(life(&holder.incarnation)),
            Cell::new(format!("{}{}", moment(holder.confirmed_at.as_ref()), later(stop, holder))),
            Cell::new(ago.map_or_else(|| "none".to_owned(), words)),
        ]);
    }
    lines(&table)
}

/// By how much a confirmation missed the proof; empty if it did not.
fn later(stop: &StopReport, holder: &ConfirmedHolder) -> String {
    if !holder.late {
        return String::new();
    }
    match between(stop.proven_at.as_ref(), holder.confirmed_at.as_ref()) {
        Some(length) => format!(", {} after the proof", words(length)),
        None => ", after the proof".to_owned(),
    }
}

/// Faults that a process had begun before the stop and could not end while it slept, in one line; empty where there are none.
/// No bound holds for a process that sleeps (docs/protocol.md, shim rule 5); it begins nothing when it wakes.
fn woken(stop: &StopReport) -> String {
    let proven = read(stop.proven_at.as_ref());
    let late = stop.confirmed.iter().filter(|holder| holder.late);
    let woken: Vec<(Timestamp, String)> = late
        .filter_map(|holder| Some((ended(holder)?, name(holder))))
        .filter(|(ended, _)| proven.is_some_and(|proven| *ended > proven))
        .collect();
    let (Some((last, _)), Some(proven)) = (woken.iter().max(), proven) else {
        return String::new();
    };
    let names = list(&woken.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>(), NAMES_SHOWN);
    let (fault, process) = match woken.len() {
        1 => ("1 process a fault", "process"),
        _ => (&*format!("{} processes faults", woken.len()), "processes"),
    };
    let after = words(last.duration_since(proven).unsigned_abs());
    format!(
        "in {fault} that had begun before the abort ended when the {process} woke, {after} after the proof at the latest: {names}\n"
    )
}

fn out_of_contact(stop: &StopReport, look: Look) -> String {
    if stop.out_of_contact.is_empty() {
        return String::new();
    }
    let mark = if is_proven(stop) { Mark::Pending } else { Mark::Bad };
    let mut table = table(look, &["out of contact", "life", "inert by"]);
    for holder in &stop.out_of_contact {
        let inert_by = moment(holder.inert_by.as_ref());
        table.add_row(vec![
            marked(format!("{}/{}", holder.tenant, holder.shim), mark),
            Cell::new(life(&holder.incarnation)),
            Cell::new(if inert_by.is_empty() { "not known yet".to_owned() } else { inert_by }),
        ]);
    }
    lines(&table)
}

#[cfg(test)]
mod tests;
