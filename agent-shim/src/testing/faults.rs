//! Every fault there is, and a table that says for each what the agent receives.

use squall_proto::vocabulary::fault::{
    Behavior, ContextTruncation, Damage, Delay, ErrorCodes, Fault, FaultKind, LostPart,
    TruncationUnit, Unavailability, UncooperativeAgent,
};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::seam::Seam;

use super::{FOREVER_MS, latency, malformed, unavailable};

/// A hold that a test waits for.
const SHORT_MS: u64 = 5;

/// The fault's name, what the other side saw of the call (`None` if it was never asked), and what the caller received.
pub(crate) type Row = (&'static str, Option<&'static str>, &'static str);

/// What became of one call.
#[derive(Debug, PartialEq)]
pub(crate) struct Met {
    pub(crate) sent: Option<String>,
    pub(crate) got: String,
    /// Counted as applied, and as not applicable.
    pub(crate) counts: (u64, u64),
}

impl Met {
    fn of((_, sent, got): Row, counts: (u64, u64)) -> Self {
        Self { sent: sent.map(str::to_owned), got: got.to_owned(), counts }
    }
}

/// Makes one call under every fault there is. One that `seam` supports has to do what its row says, to be counted, and to
/// have a row; any other leaves the call as `clean` says.
pub(crate) async fn assert_rows(
    seam: &Seam,
    clean: Row,
    rows: &[Row],
    call: impl AsyncFn(Fault) -> Met,
) {
    let mut supported = 0;
    for (name, fault) in every_fault(SHORT_MS) {
        let row = rows.iter().find(|row| row.0 == name);
        let expected = match (seam.supports(&fault), row) {
            (Ok(()), Some(row)) => Met::of(*row, (1, 0)),
            (Err(_), None) => Met::of(clean, (0, 0)),
            (Ok(()), None) => panic!("no row says what {name} does at {seam:?}"),
            (Err(why), Some(_)) => panic!("{name} has a row at {seam:?}, where {why}"),
        };
        supported += usize::from(row.is_some());
        assert_eq!(call(fault).await, expected, "{name} at calls of {}s", seam.point.name());
    }
    assert_eq!(supported, rows.len(), "rows of the same fault, or of none");
}

/// The faults that hold a call at `seam`, here until the session stops.
pub(crate) fn every_fault_that_holds(seam: &Seam) -> Vec<(String, Fault)> {
    let holds = |fault: &Fault| fault.longest_ms() > 0 && seam.supports(fault).is_ok();
    every_fault(FOREVER_MS).into_iter().filter(|(_, fault)| holds(fault)).collect()
}

fn every_fault(hold_ms: u64) -> Vec<(String, Fault)> {
    FaultKind::ALL.iter().flat_map(|kind| of_kind(*kind, hold_ms)).collect()
}

/// Every variant of a kind, each under a name of its own.
fn of_kind(kind: FaultKind, hold_ms: u64) -> Vec<(String, Fault)> {
    let name = kind.name();
    match kind {
        FaultKind::Latency => vec![(name.to_owned(), latency(hold_ms))],
        FaultKind::Error => {
            let message = Some("upstream is down".to_owned());
            vec![(name.to_owned(), Fault::Error(ErrorCodes { codes: vec![503], message }))]
        }
        FaultKind::ToolUnavailable => each(name, |mode: Unavailability| unavailable(mode, hold_ms)),
        FaultKind::UncooperativeAgent => each(name, |behavior| uncooperative(behavior, hold_ms)),
        FaultKind::ContextTruncation => TruncationUnit::ALL.iter().flat_map(truncations).collect(),
        FaultKind::MalformedOutput => each(name, |mode: Damage| malformed(mode)),
    }
}

fn each<T: Named + Copy>(kind: &str, fault: impl Fn(T) -> Fault) -> Vec<(String, Fault)> {
    let named = |one: &T| (format!("{kind} {}", one.name()), fault(*one));
    T::ALL.iter().map(named).collect()
}

fn uncooperative(behavior: Behavior, hold_ms: u64) -> Fault {
    Fault::UncooperativeAgent(UncooperativeAgent {
        behaviors: vec![behavior],
        texts: vec!["I would rather not.".to_owned()],
        keep: 0.5,
        delay: Delay::Fixed { ms: hold_ms },
    })
}

fn truncations(unit: &TruncationUnit) -> Vec<(String, Fault)> {
    let kind = format!("{} {}", FaultKind::ContextTruncation.name(), unit.name());
    each(&kind, |from: LostPart| {
        Fault::ContextTruncation(ContextTruncation { fraction: 0.5, from, unit: *unit })
    })
}
