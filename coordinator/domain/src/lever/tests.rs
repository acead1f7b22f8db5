use squall_proto::vocabulary::time::UnixMillis;

use super::*;
use crate::event::Totals;
use crate::scenario::{append, by, hash};

fn folded(events: &[(&str, CommandKind)]) -> Lever {
    let mut lever = Lever::default();
    for (sequence, (request, kind)) in (1..).zip(events) {
        let reason = format!("at {sequence}");
        let event = if *kind == CommandKind::Release {
            LeverEvent::Released { reason }
        } else {
            LeverEvent::Engaged { reason }
        };
        let record = Record {
            append: append(sequence),
            at: UnixMillis(sequence),
            previous: lever.head,
            totals: Totals::default(),
            events: vec![Recorded { command: Some(by(request, *kind)), event }],
        };
        assert!(lever.fits(&record));
        lever.evolve(sequence, record.at, &record, hash(sequence));
    }
    lever
}

fn decide(
    lever: &Lever,
    request: &str,
    kind: CommandKind,
    reason: &str,
) -> Result<usize, Rejection> {
    let request = RequestId::new(request).unwrap();
    lever.decide(&Scope::Fleet, &request, kind, reason).map(|events| events.len())
}

const ENGAGE: CommandKind = CommandKind::Engage;
const RELEASE: CommandKind = CommandKind::Release;

#[test]
fn a_lever_is_engaged_at_any_time_and_released_while_it_is_engaged() {
    let (free, held) = (Lever::default(), folded(&[("r1", ENGAGE)]));
    assert_eq!(decide(&free, "r2", ENGAGE, "fire"), Ok(1));
    assert_eq!(decide(&held, "r2", ENGAGE, "more fire"), Ok(1));
    assert_eq!(decide(&held, "r2", RELEASE, "out"), Ok(1));
    let refused = Err(Rejection::NotEngaged { scope: "all tenants".to_owned() });
    assert_eq!(decide(&free, "r2", RELEASE, "out"), refused);
    assert_eq!(decide(&folded(&[("r1", ENGAGE), ("r2", RELEASE)]), "r3", RELEASE, "out"), refused);
}

#[test]
fn a_repeated_command_is_done_and_says_nothing_new() {
    let lever = folded(&[("r1", ENGAGE), ("r2", RELEASE)]);
    assert_eq!(decide(&lever, "r1", ENGAGE, "fire"), Ok(0));
    assert_eq!(decide(&lever, "r2", RELEASE, ""), Ok(0));
    assert!(matches!(decide(&lever, "r1", RELEASE, "out"), Err(Rejection::RequestReused { .. })));
}

#[test]
fn a_lever_is_never_moved_without_a_reason() {
    assert!(matches!(decide(&Lever::default(), "r", ENGAGE, ""), Err(Rejection::Reason { .. })));
    assert!(matches!(
        decide(&folded(&[("r", ENGAGE)]), "s", RELEASE, "\n"),
        Err(Rejection::Reason { .. })
    ));
}

#[test]
fn commands_for_sessions_move_no_lever() {
    let held = folded(&[("r1", ENGAGE)]);
    assert!(matches!(
        decide(&held, "r2", CommandKind::Start, "x"),
        Err(Rejection::NotEngaged { .. })
    ));
}

#[test]
fn an_engaged_lever_says_who_engaged_it_first_and_why() {
    let lever = folded(&[("r1", ENGAGE), ("r2", ENGAGE)]);
    let engaged = lever.engaged.unwrap();
    assert_eq!((engaged.sequence, engaged.append, engaged.reason.as_str()), (1, append(1), "at 1"));
    assert_eq!(engaged.actor.unwrap().as_str(), "ann");
    assert_eq!((lever.revision, lever.head), (2, hash(2)));
}

#[test]
fn a_lever_is_renewed_at_half_of_what_the_log_keeps_whether_or_not_it_is_engaged() {
    let half = UnixMillis(1).plus(LOG_KEEPS / 2);
    assert_eq!(Lever::default().renewal(half), None);
    let held = folded(&[("r1", ENGAGE)]);
    assert_eq!(held.renewal(UnixMillis(half.0 - 1)), None);
    let engaged = held.engaged.clone();
    assert!(engaged.is_some());
    assert_eq!(held.renewal(half), Some(LeverEvent::Renewed { engaged }));
    let free = folded(&[("r1", ENGAGE), ("r2", RELEASE)]);
    assert_eq!(free.renewal(half.plus(LOG_KEEPS)), Some(LeverEvent::Renewed { engaged: None }));
}

#[test]
fn an_append_expects_the_newest_record_until_that_has_expired() {
    let (held, expires) = (folded(&[("r1", ENGAGE)]), UnixMillis(1).plus(LOG_KEEPS));
    assert_eq!(held.expected(UnixMillis(expires.0 - 1)), 1);
    assert_eq!(held.expected(expires), 0);
    assert_eq!(Lever::default().expected(expires), 0);
}
