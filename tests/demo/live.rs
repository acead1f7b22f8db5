//! What the audience sees while the play goes on.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use squall_proto::wire::v1::{Counts, Session};
use tokio::task::JoinHandle;
use tokio::time::interval;

use crate::operator::Operator;

/// Counters are shown this often, when they changed.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// Says a line, with the time since the first one.
pub(crate) fn say(line: &str) {
    static START: OnceLock<Instant> = OnceLock::new();
    println!("{:6.1} s  {line}", START.get_or_init(Instant::now).elapsed().as_secs_f64());
}

/// Shows the session's counters until it is dropped.
#[derive(Debug)]
pub(crate) struct Live(JoinHandle<()>);

impl Live {
    /// Begins to show them.
    pub(crate) fn show(mut operator: Operator) -> Self {
        Self(tokio::spawn(async move {
            let mut ticks = interval(SHOW_EVERY);
            let mut last = String::new();
            loop {
                ticks.tick().await;
                let line = match operator.session().await {
                    Ok(session) => counters(&session),
                    Err(_) => "    (the coordinator does not answer)".to_owned(),
                };
                if line != last {
                    say(&line);
                    last = line;
                }
            }
        }))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn counters(session: &Session) -> String {
    let Counts { chosen, applied, skipped, .. } = session.counts.unwrap_or_default();
    let budget = session.budget.map_or(0, |budget| budget.budget);
    let tenants: Vec<_> = session
        .tenants
        .iter()
        .map(|tenant| format!("{} {}", tenant.tenant, tenant.counts.unwrap_or_default().applied))
        .collect();
    format!(
        "    applied {applied:>2} of {budget}   chosen {chosen:>3}, skipped for want of a permit {skipped:>3}   {}",
        tenants.join(", ")
    )
}
