//! What people call the values of the contract.

use squall_proto::wire::v1;

use super::table::Mark;

/// The state of a session.
pub(super) fn state(number: i32) -> &'static str {
    match v1::SessionState::try_from(number).unwrap_or_default() {
        v1::SessionState::Unspecified => "unknown",
        v1::SessionState::Draft => "draft",
        v1::SessionState::Running => "running",
        v1::SessionState::Paused => "paused",
        v1::SessionState::Draining => "draining",
        v1::SessionState::Completed => "completed",
        v1::SessionState::Exhausted => "exhausted",
        v1::SessionState::Aborted => "aborted",
        v1::SessionState::LogDamaged => "log damaged",
    }
}

/// How a state is marked.
pub(super) fn state_mark(number: i32) -> Mark {
    match v1::SessionState::try_from(number).unwrap_or_default() {
        v1::SessionState::Unspecified | v1::SessionState::Draft | v1::SessionState::Completed => {
            Mark::None
        }
        v1::SessionState::Running | v1::SessionState::Exhausted => Mark::Good,
        v1::SessionState::Paused | v1::SessionState::Draining => Mark::Pending,
        v1::SessionState::Aborted | v1::SessionState::LogDamaged => Mark::Bad,
    }
}

/// A kind of faults, by its name in session files.
pub(super) fn kind(number: i32) -> String {
    let name = v1::FaultKind::try_from(number).unwrap_or_default().as_str_name();
    name.trim_start_matches("FAULT_KIND_").to_lowercase()
}

/// Kinds of faults; all of them in one word.
pub(super) fn kinds(numbers: &[i32]) -> String {
    // Every kind but "unspecified".
    let all = (1..).take_while(|number| v1::FaultKind::try_from(*number).is_ok()).count();
    match numbers.len() {
        0 => "none".to_owned(),
        count if count == all => "all".to_owned(),
        _ => numbers.iter().map(|number| kind(*number)).collect::<Vec<_>>().join(", "),
    }
}

/// What kind of call a seam sees: `tool`.
pub(super) fn point(number: i32) -> String {
    let name = v1::Point::try_from(number).unwrap_or_default().as_str_name();
    name.trim_start_matches("POINT_").to_lowercase()
}

/// The shape of contents at a seam: `json`.
pub(super) fn shape(number: i32) -> String {
    let name = v1::Shape::try_from(number).unwrap_or_default().as_str_name();
    name.trim_start_matches("SHAPE_").to_lowercase()
}

/// The first names of a list, and how many more there are.
pub(super) fn list(names: &[String], most: usize) -> String {
    let shown = names.iter().take(most).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A number with its noun: `1 shim`, `3 shims`.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// The life of a shim, short enough to read and long enough to tell two apart.
pub(super) fn life(incarnation: &str) -> &str {
    incarnation.get(..8).unwrap_or(incarnation)
}

#[cfg(test)]
mod tests {
    use squall_proto::vocabulary::fault::FaultKind;
    use squall_proto::vocabulary::named::Named;

    use super::*;

    #[test]
    fn all_kinds_are_one_word_and_some_are_named() {
        let all: Vec<i32> =
            FaultKind::ALL.iter().map(|kind| v1::FaultKind::from(*kind).into()).collect();
        assert_eq!(kinds(&all), "all");
        assert_eq!(kinds(&[1, 6]), "latency, malformed_output");
        assert_eq!(kinds(&[]), "none");
    }

    #[test]
    fn long_lists_are_cut() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(list(&names, 2), "a, b and 1 more");
        assert_eq!(list(&names, 3), "a, b, c");
    }
}
