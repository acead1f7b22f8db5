//! Sessions are listed newest first.

use squall_domain::event::CommandKind;
use squall_domain::session::Phase;
use squall_proto::vocabulary::limits::LOG_KEEPS;

use super::bench::{Bench, spec};
use super::*;

fn names(bench: &Bench, phases: &[Phase], before: Option<u64>, limit: usize) -> Vec<String> {
    let found = bench.engines[0].newest(None, phases, before, limit);
    found.iter().map(|key| key.session.to_string()).collect()
}

fn three() -> Bench {
    let mut bench = Bench::new();
    for name in ["b", "c", "a"] {
        bench.create_named(name, spec(5));
    }
    bench
}

#[test]
fn the_newest_session_is_listed_first_whatever_its_name() {
    assert_eq!(names(&three(), &[], None, 10), ["a", "c", "b"]);
}

#[test]
fn a_page_ends_at_its_limit_and_the_next_one_begins_behind_it() {
    let bench = three();
    assert_eq!(names(&bench, &[], None, 2), ["a", "c"]);
    let last = bench.session_named("c").created.sequence;
    assert_eq!(names(&bench, &[], Some(last), 2), ["b"]);
}

#[test]
fn only_the_wanted_phases_and_tenants_are_listed() {
    let mut bench = three();
    bench.command_for("c", "abort", ClientCommand::Abort { reason: "enough".into() });
    assert_eq!(names(&bench, &[Phase::Aborted], None, 10), ["c"]);
    assert_eq!(names(&bench, &[Phase::Draft, Phase::Running], None, 10), ["a", "b"]);
    let other = "globex".parse().unwrap();
    assert!(bench.engines[0].newest(Some(&other), &[], None, 10).is_empty());
}

#[test]
fn what_is_listed_is_what_is_folded_however_it_was_read() {
    let mut bench = three();
    let later = bench.join();
    let all = |replica: &Engine| replica.newest(None, &[], None, 10);
    assert_eq!(all(&bench.engines[later]), all(&bench.engines[0]));
    let restored = Engine::new(
        bench.engines[0].identity.clone(),
        bench.engines[0].world().clone(),
        Archive::default(),
    );
    assert_eq!(all(&restored), all(&bench.engines[0]));
    let session = bench.session_named("c");
    let request = session.commands.of(CommandKind::Create).next().expect("a request made it");
    for replica in [&bench.engines[0], &bench.engines[later], &restored] {
        assert_eq!(replica.listing.made_by(&session.key.tenant, request), Some(&session.key));
    }
}

#[test]
fn a_session_that_is_forgotten_is_listed_no_more() {
    let mut bench = three();
    bench.command_for("c", "abort", ClientCommand::Abort { reason: "enough".into() });
    bench.pass(Duration::from_secs(10));
    bench.leap(LOG_KEEPS + Duration::from_secs(3600));
    bench.create_named("d", spec(5));
    let listed = names(&bench, &[], None, 10);
    assert!(listed.contains(&"d".to_owned()) && !listed.contains(&"c".to_owned()), "{listed:?}");
}
