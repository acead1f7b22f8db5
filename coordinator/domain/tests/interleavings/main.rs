//! Two replicas that both believe they own a session, one log with compare-and-swap, and shims that use what they got
//! and no more. Messages are delivered in any order, any number of times or never; an append may commit after its writer
//! gave it up. After every step the invariants of the bound are checked (their numbers are those of ARCHITECTURE.md) by
//! [`book`], a second and simpler reading of the same log.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod book;
mod cast;
mod machine;
mod reached;
mod replica;
mod shim;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use self::cast::specs;
use self::machine::{Machine, Opening, Step};
use self::reached::Reached;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let shim = prop::sample::select(vec![0, 0, 1, 1, 2_usize]);
    let (replica, any) = (0..2_usize, any::<u8>());
    // One of them lags behind.
    let ahead = prop::sample::select(vec![0, 0, 0, 1_usize]);
    let step = prop_oneof![
        80 => (shim.clone(), ahead.clone(), any)
            .prop_map(|(shim, replica, with)| Step::Serve(shim, replica, with)),
        12 => (replica.clone(), any).prop_map(|(replica, with)| Step::ServeTwo(replica, with)),
        12 => (shim.clone(), replica.clone())
            .prop_map(|(shim, replica)| Step::TakeBack(shim, replica)),
        12 => (shim.clone(), any).prop_map(|(shim, with)| Step::Ask(shim, with)),
        4 => shim.clone().prop_map(Step::AskAgain),
        3 => shim.clone().prop_map(Step::GiveUp),
        60 => any.prop_map(Step::Inject),
        5 => shim.clone().prop_map(Step::GiveBack),
        6 => shim.clone().prop_map(Step::Resend),
        1 => shim.clone().prop_map(Step::Restart),
        3 => (shim.clone(), any).prop_map(|(from, used)| Step::Forge(from, used)),
        40 => (replica.clone(), any).prop_map(|(replica, at)| Step::Up(replica, at)),
        10 => (replica.clone(), any, any)
            .prop_map(|(replica, at, other)| Step::UpTwo(replica, at, other)),
        30 => any.prop_map(Step::Down),
        60 => any.prop_map(Step::Arrive),
        6 => replica.clone().prop_map(Step::Unanswered),
        40 => ahead.prop_map(Step::Fold),
        6 => (replica.clone(), any).prop_map(|(replica, with)| Step::Command(replica, with)),
        1 => any.prop_map(Step::Engage),
        1 => any.prop_map(Step::Release),
        12 => replica.clone().prop_map(Step::OwnWork),
        3 => (replica.clone(), shim).prop_map(|(replica, shim)| Step::Sync(replica, shim)),
        2 => replica.clone().prop_map(Step::Snapshot),
        2 => replica.prop_map(Step::Reborn),
        12 => any.prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..300)
}

fn openings() -> impl Strategy<Value = Opening> {
    prop_oneof![8 => Just(Opening::Started), 1 => Just(Opening::Draft), 1 => Just(Opening::Lever)]
}

proptest! {
    /// I1 to I6 and I8 to I12.
    #[test]
    fn no_interleaving_breaks_a_bound(
        spec in 0..specs().len(),
        opening in openings(),
        steps in steps(),
    ) {
        let mut machine = Machine::new(&specs()[spec].1, opening);
        for step in &steps {
            machine.step(step);
            machine.check();
        }
        machine.settle();
    }
}

/// A machine that never gets anywhere would prove nothing.
#[test]
fn the_interleavings_reach_what_matters() {
    let mut runner = TestRunner::deterministic();
    let strategy = (openings(), steps());
    let mut reached = Reached::default();
    for (_, spec) in specs() {
        for _ in 0..20 {
            let (opening, steps) = strategy.new_tree(&mut runner).unwrap().current();
            let mut machine = Machine::new(&spec, opening);
            steps.iter().for_each(|step| machine.step(step));
            reached.add(&machine);
        }
    }
    reached.check();
}
