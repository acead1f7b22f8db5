//! How far an abort or a halt is, and how it is known.

use squall_domain::event::ProofKind;
use squall_domain::session::stop::{Confirmation, Stop};
use squall_proto::vocabulary::id::Holder;
use squall_proto::wire::v1;

use super::{duration, timestamp};
use crate::engine::{SessionView, Stage};

/// The stop of a session; stage NONE where there was none.
pub(crate) fn stop(view: &SessionView) -> v1::StopReport {
    let report = v1::StopReport {
        stage: stage(view.stage).into(),
        accepted_at: view.pushed_at.map(timestamp),
        ..v1::StopReport::default()
    };
    match &view.session.stop {
        Some(stop) => recorded(view, stop, report),
        None => report,
    }
}

fn recorded(view: &SessionView, stop: &Stop, report: v1::StopReport) -> v1::StopReport {
    let Stop { epoch, record, confirmations, proof, holders, .. } = stop;
    let in_time = confirmations.values().filter(|confirmation| !confirmation.late);
    let last_inert_at = in_time.map(|confirmation| confirmation.at).max();
    let report = v1::StopReport {
        epoch: *epoch,
        last_inert_at: last_inert_at.map(timestamp),
        proven_at: proof.as_ref().map(|proof| timestamp(proof.at)),
        confirmed: confirmations.iter().map(confirmed).collect(),
        out_of_contact: out_of_contact(view, stop),
        holder_count: holders.len() as u64,
        proven_by: proof
            .as_ref()
            .map_or(v1::ProvenBy::Unspecified, |proof| proven_by(proof.by))
            .into(),
        ..report
    };
    let Some(record) = record else { return report };
    v1::StopReport {
        reason: record.reason.clone(),
        actor: record.stamp.by.as_ref().map(ToString::to_string).unwrap_or_default(),
        durable_at: Some(timestamp(record.stamp.at)),
        ..report
    }
}

const fn stage(stage: Stage) -> v1::StopStage {
    match stage {
        Stage::None => v1::StopStage::None,
        Stage::Pushed => v1::StopStage::Pushed,
        Stage::Aborted => v1::StopStage::AbortedDurable,
        Stage::Proven => v1::StopStage::StoppedProven,
    }
}

const fn proven_by(kind: ProofKind) -> v1::ProvenBy {
    match kind {
        ProofKind::Confirmations => v1::ProvenBy::Confirmations,
        ProofKind::Time => v1::ProvenBy::Time,
    }
}

fn confirmed((holder, confirmation): (&Holder, &Confirmation)) -> v1::ConfirmedHolder {
    let Holder { tenant, shim, incarnation } = holder;
    let Confirmation { at, used: _, last_injection_ago, late } = confirmation;
    v1::ConfirmedHolder {
        tenant: tenant.to_string(),
        shim: shim.to_string(),
        incarnation: incarnation.to_string(),
        last_injection_ago: last_injection_ago.map(duration),
        confirmed_at: Some(timestamp(*at)),
        late: *late,
    }
}

/// Who has not confirmed so far.
fn out_of_contact(view: &SessionView, stop: &Stop) -> Vec<v1::OutOfContactHolder> {
    let inert_by = stop.proof.as_ref().map(|proof| proof.at).or(view.inert_by).map(timestamp);
    stop.unconfirmed()
        .map(|Holder { tenant, shim, incarnation }| v1::OutOfContactHolder {
            tenant: tenant.to_string(),
            shim: shim.to_string(),
            incarnation: incarnation.to_string(),
            inert_by,
        })
        .collect()
}
