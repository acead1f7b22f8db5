//! Who is there: as long as it says so, each process for itself.

use squall_domain::session::ClientCommand;
use squall_proto::vocabulary::id::Incarnation;
use squall_proto::vocabulary::limits::HELLO_EVERY;
use squall_proto::vocabulary::message::{Hello, Reply, Request, Sync};

use super::bench::{Bench, hello, incarnation, spec};

/// Another process of the same name, whose agents called nothing yet.
fn twin(shim: &str) -> Hello {
    Hello { incarnation: TWIN, sites: vec![], ..hello(shim) }
}

const TWIN: Incarnation = Incarnation([2; 16]);

fn lives(bench: &mut Bench) -> Vec<Incarnation> {
    bench.fleet().shims.iter().map(|shim| shim.hello.incarnation).collect()
}

#[test]
fn a_shim_that_says_nothing_but_hello_is_there_for_as_long_as_it_does() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.hears("shim-1", hello("shim-1"));
        bench.pass(HELLO_EVERY);
        assert_eq!(lives(&mut bench), [incarnation("shim-1")]);
    }
    bench.create(spec(10));
    let started = bench.command("start", ClientCommand::Start);
    assert!(bench.ordered(started).expect("no answer").is_ok());
}

#[test]
fn a_shim_of_which_two_hellos_get_lost_is_still_there_and_one_that_is_silent_is_not() {
    let mut bench = Bench::new();
    bench.hears("shim-1", hello("shim-1"));
    bench.pass(HELLO_EVERY * 29 / 10);
    assert_eq!(lives(&mut bench).len(), 1);
    bench.pass(HELLO_EVERY / 5);
    assert_eq!(lives(&mut bench), []);
}

#[test]
fn two_processes_of_one_name_are_two_shims_and_what_one_can_is_not_hidden_by_the_other() {
    for twin_is_first in [false, true] {
        let mut bench = Bench::new();
        let mut hellos = [hello("shim-1"), twin("shim-1")];
        if twin_is_first {
            hellos.reverse();
        }
        for hello in hellos {
            bench.hears("shim-1", hello);
        }
        assert_eq!(lives(&mut bench), [TWIN, incarnation("shim-1")]);
        bench.create(spec(10));
        let started = bench.command("start", ClientCommand::Start);
        assert!(bench.ordered(started).expect("no answer").is_ok(), "the other process can do it");
    }
}

#[test]
fn a_process_that_ended_leaves_although_others_of_its_name_speak() {
    let mut bench = Bench::running(10);
    bench.hears("shim-1", twin("shim-1"));
    for req_no in 1..8 {
        bench.pass(HELLO_EVERY / 2);
        bench.ask("shim-1", req_no, 1);
        bench.renew("shim-1");
    }
    assert_eq!(lives(&mut bench), [incarnation("shim-1")]);
}

#[test]
fn a_close_for_a_life_that_is_over_keeps_nobody_in_the_fleet() {
    let mut bench = Bench::running(10);
    bench.ask("shim-1", 1, 1);
    bench.pass(HELLO_EVERY * 2);
    bench.hears("shim-1", twin("shim-1"));
    let closed = bench.close("shim-1", 1, 0);
    assert!(matches!(bench.reply(closed), Some(Reply::Closed(_))));
    bench.pass(HELLO_EVERY * 2);
    assert_eq!(lives(&mut bench), [TWIN]);
}

#[test]
fn permits_are_shown_with_the_process_that_holds_them() {
    let mut bench = Bench::running(10);
    bench.hears("shim-1", twin("shim-1"));
    bench.ask("shim-1", 1, 1);
    let open: Vec<_> = bench.fleet().open_permits.into_iter().collect();
    let [(holder, 1)] = &open[..] else { panic!("{open:?}") };
    assert_eq!(holder.incarnation, incarnation("shim-1"));
}

#[test]
fn a_page_that_the_plan_no_longer_has_is_answered_with_the_first() {
    let mut bench = Bench::running(10);
    let sync = Sync { incarnation: incarnation("shim-1"), page: 7 };
    let token = bench.send(0, "shim-1", Request::Sync(sync));
    let Some(Reply::Plan(plan)) = bench.reply(token) else { panic!("no plan") };
    assert_eq!((plan.page, plan.pages, plan.live.len()), (0, 1, 1));
}
