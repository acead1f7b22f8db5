//! Why a shim can't apply an experiment: the same verdict as its own, on what it announced.

use std::collections::BTreeSet;

use squall_proto::vocabulary::id::ShimId;
use squall_proto::vocabulary::message::Hello;
use squall_proto::vocabulary::session::{Experiment, SessionSpec};
use squall_proto::vocabulary::site::Obstacle;

/// Each reason once; `None` if one of its sites can.
pub(super) fn obstacles(
    session: &SessionSpec,
    experiment: &Experiment,
    shim: &ShimId,
    hello: &Hello,
) -> Option<BTreeSet<String>> {
    let allowance = hello.allowance();
    let refused = allowance.admits(&session.target).and(allowance.lets(&experiment.fault));
    if let Err(why) = refused {
        return Some(BTreeSet::from([of_shim(shim, hello, why)]));
    }
    let (mut reasons, mut nearest) = (BTreeSet::new(), None);
    for site in hello.sites() {
        match site.fits(session, experiment) {
            Ok(()) => return None,
            Err(why @ (Obstacle::Seam(_) | Obstacle::NoTrace)) => {
                reasons.insert(format!("seam {}: {why}", site.seam.name));
            }
            Err(why @ Obstacle::Agent) => nearest = nearest.or(Some(why)),
            Err(
                why @ (Obstacle::Tool
                | Obstacle::Environment
                | Obstacle::Kind(_)
                | Obstacle::Delay { .. }),
            ) => nearest = Some(why),
        }
    }
    if reasons.is_empty() {
        reasons.insert(match nearest {
            Some(why) => of_shim(shim, hello, why),
            None => format!(
                "shim {shim} announced no site yet: its agents called nothing and listed no tools"
            ),
        });
    }
    Some(reasons)
}

fn of_shim(shim: &ShimId, hello: &Hello, why: Obstacle) -> String {
    match why {
        Obstacle::Environment => {
            format!("shim {shim} runs in {}, which the target leaves out", hello.environment)
        }
        Obstacle::Agent => format!("the target matches none of the agents of shim {shim}"),
        Obstacle::Tool => {
            format!(
                "the target matches agents of shim {shim}, but none of the tools that they call"
            )
        }
        Obstacle::Kind(_) | Obstacle::Delay { .. } | Obstacle::Seam(_) | Obstacle::NoTrace => {
            format!("shim {shim}: {why}")
        }
    }
}
