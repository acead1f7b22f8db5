//! The small configurations in every test run, and that a broken protocol doesn't get through.

use squall_model::configurations::{self, SMALL};
use squall_model::fleet::Fleet;
use squall_model::search::{Plan, Report, explore};

const PLAN: Plan = Plan { threads: 2, shortest: false, progress: false };

fn fleet(name: &str) -> Fleet {
    let mut all = configurations::all().into_iter();
    all.find(|fleet| fleet.name == name).expect("the small ones are among all")
}

#[test]
fn no_state_of_a_small_configuration_breaks_an_invariant() {
    for name in SMALL {
        let Report { violations, missing, states, .. } = explore(&fleet(name), PLAN);
        assert!(violations.is_empty(), "{name}: {violations:#?}");
        assert!(missing.is_empty(), "{name} never reached {missing:?} in {states} states");
    }
}

/// An exploration that can't find a broken bound proves nothing: where a log loses the record of a grant, a replica that never saw it
/// issues the permit once more.
#[test]
fn a_budget_that_is_issued_twice_is_found() {
    let mut broken = fleet("single_request");
    broken.limits.records = 1;
    broken.sometimes = vec![("two were injected of one", |_, state| state.injections.len() > 1)];
    let Report { missing, .. } = explore(&broken, PLAN);
    assert!(missing.is_empty(), "an adversary that loses records must break the bound");
}

#[test]
fn every_configuration_has_a_name_of_its_own_and_something_that_must_happen() {
    let all = configurations::all();
    for (at, fleet) in all.iter().enumerate() {
        assert!(!fleet.sometimes.is_empty(), "{} could be empty", fleet.name);
        assert!(all[..at].iter().all(|other| other.name != fleet.name), "{} twice", fleet.name);
    }
}
