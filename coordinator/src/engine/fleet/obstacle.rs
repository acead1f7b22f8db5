//! Whether a shim can apply an experiment, and why not: the same verdict as its own, on what it announced.

use std::collections::BTreeSet;

use squall_proto::vocabulary::id::{AgentName, ShimId, ToolName};
use squall_proto::vocabulary::message::Hello;
use squall_proto::vocabulary::session::{Experiment, SessionSpec};
use squall_proto::vocabulary::site::Obstacle;

/// Names that a reason tells, of those that there are: enough to see a misspelt one beside the right one.
const NAMES_SHOWN: usize = 8;

/// Whether the owner lets it happen, and one of the sites fits. Asked for every shim of a fleet: it allocates nothing.
pub(super) fn can_apply(session: &SessionSpec, experiment: &Experiment, hello: &Hello) -> bool {
    owner_lets(session, experiment, hello).is_ok()
        && hello.sites().any(|site| site.fits(session, experiment).is_ok())
}

/// Why it can't, each reason once.
pub(super) fn why_not(
    session: &SessionSpec,
    experiment: &Experiment,
    shim: &ShimId,
    hello: &Hello,
) -> BTreeSet<String> {
    if let Err(why) = owner_lets(session, experiment, hello) {
        return BTreeSet::from([of_shim(shim, hello, why)]);
    }
    let (mut reasons, mut nearest) = (BTreeSet::new(), None);
    for site in hello.sites() {
        match site.fits(session, experiment) {
            Err(why @ (Obstacle::Seam(_) | Obstacle::NoTrace)) => {
                reasons.insert(format!("seam {} of shim {shim}: {why}", site.seam.name));
            }
            Err(why @ Obstacle::Agent) => nearest = nearest.or(Some(why)),
            Err(
                why @ (Obstacle::Tool
                | Obstacle::Environment
                | Obstacle::Kind(_)
                | Obstacle::Delay { .. }),
            ) => nearest = Some(why),
            Ok(()) => {}
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
    reasons
}

fn owner_lets(
    session: &SessionSpec,
    experiment: &Experiment,
    hello: &Hello,
) -> Result<(), Obstacle> {
    let allowance = hello.allowance();
    allowance.admits(&session.target)?;
    allowance.lets(&experiment.fault)
}

fn of_shim(shim: &ShimId, hello: &Hello, why: Obstacle) -> String {
    match why {
        Obstacle::Environment => {
            format!("shim {shim} runs in {}, which the target leaves out", hello.environment)
        }
        Obstacle::Agent => {
            let agents = some(hello.agents.iter().map(AgentName::as_str));
            format!("the target matches none of the agents of shim {shim} ({agents})")
        }
        Obstacle::Tool => {
            let tools = some(hello.tools.iter().map(ToolName::as_str));
            format!(
                "the target matches agents of shim {shim}, but none of the tools that they call ({tools})"
            )
        }
        Obstacle::Kind(_) | Obstacle::Delay { .. } | Obstacle::Seam(_) | Obstacle::NoTrace => {
            format!("shim {shim}: {why}")
        }
    }
}

/// The first names, and how many more there are.
fn some<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMES_SHOWN);
    let shown = names.take(NAMES_SHOWN).collect::<Vec<_>>().join(", ");
    match (shown.is_empty(), more) {
        (true, _) => "there are none yet".to_owned(),
        (false, 0) => shown,
        (false, more) => format!("{shown} and {more} more"),
    }
}
