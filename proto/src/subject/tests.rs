use proptest::prelude::*;

use super::*;
use crate::strategies::{log_tenant, real_tenant, session_key, token};

fn partition() -> impl Strategy<Value = Partition> {
    (0_u16..64).prop_map(|number| Partition::new(number).expect("it is below 64"))
}

fn tenant_subjects() -> impl Strategy<Value = TenantSubject> {
    prop_oneof![
        Just(TenantSubject::CommandAll),
        token().prop_map(|shim| TenantSubject::CommandShim { shim }),
        (token(), partition(), prop::sample::select(Verb::ALL))
            .prop_map(|(shim, partition, verb)| TenantSubject::Ask { shim, partition, verb }),
        (token(), partition())
            .prop_map(|(shim, partition)| TenantSubject::Evidence { shim, partition }),
    ]
}

fn subjects() -> impl Strategy<Value = Subject> {
    prop_oneof![
        (real_tenant(), tenant_subjects())
            .prop_map(|(tenant, subject)| Subject::Tenant { tenant, subject }),
        token().prop_map(|replica| Subject::Alive { replica }),
        session_key().prop_map(|session| Subject::SessionLog { session }),
        log_tenant().prop_map(|scope| Subject::LeverLog { scope }),
        token().prop_map(|replica| Subject::BarrierLog { replica }),
        log_tenant().prop_map(|tenant| Subject::AuditLog { tenant }),
        real_tenant().prop_map(|tenant| Subject::TenantLog { tenant }),
    ]
}

fn roots() -> impl Strategy<Value = Root> {
    prop_oneof![
        real_tenant().prop_map(|tenant| Root::Coordinator { tenant }),
        prop::option::of(real_tenant()).prop_map(|tenant| Root::Shim { tenant }),
    ]
}

/// Texts close to subjects: their words in any order, with wildcards, empty and overlong tokens between them.
fn near_subjects() -> impl Strategy<Value = String> {
    let words = [
        "tenant", "cmd", "all", "shim", "ask", "ev", "ctl", "alive", "log", "s", "lever", "audit",
        "barrier", "hello", "renew", "_fleet", "acme", "7", "07", "64", "*", ">", "", " ", "ä",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..8)
        .prop_map(|words| words.join("."))
}

proptest! {
    #[test]
    fn every_subject_survives_its_text(subject in subjects()) {
        prop_assert_eq!(subject.to_string().parse::<Subject>(), Ok(subject));
    }

    #[test]
    fn every_tenant_subject_survives_its_text_under_every_root(
        subject in tenant_subjects(), root in roots(),
    ) {
        prop_assert_eq!(root.parse(&root.encode(&subject)), Ok(subject));
    }

    #[test]
    fn both_sides_write_the_same_subject(tenant in real_tenant(), subject in tenant_subjects()) {
        let text = Subject::Tenant { tenant: tenant.clone(), subject: subject.clone() }.to_string();
        prop_assert_eq!(&Root::Coordinator { tenant: tenant.clone() }.encode(&subject), &text);
        prop_assert_eq!(&Root::Shim { tenant: Some(tenant.clone()) }.encode(&subject), &text);
        let stamped = format!("tenant.{tenant}.{}", Root::Shim { tenant: None }.encode(&subject));
        prop_assert_eq!(stamped, text);
    }

    #[test]
    fn what_parses_is_written_as_it_was_read(text in prop_oneof![near_subjects(), any::<String>()]) {
        if let Ok(subject) = text.parse::<Subject>() {
            prop_assert_eq!(subject.to_string(), text);
        } else if let Ok(subject) = text.parse::<TenantSubject>() {
            prop_assert_eq!(subject.to_string(), text);
        }
    }

    #[test]
    fn each_subject_is_taken_by_the_filters_of_its_kind_only(subject in subjects()) {
        let text = subject.to_string();
        let taken: Vec<Filter> =
            filters(&subject).into_iter().filter(|filter| takes(&filter.to_string(), &text)).collect();
        prop_assert_eq!(taken, expected(&subject));
    }
}

/// Every kind of filter, with the partition of `subject` where it is one that filters know.
fn filters(subject: &Subject) -> Vec<Filter> {
    let partition =
        if let Subject::Tenant { subject: TenantSubject::Ask { partition, .. }, .. } = subject {
            *partition
        } else {
            Partition::new(0).expect("it is below 64")
        };
    vec![Filter::Asks(partition), Filter::Hellos, Filter::Evidence, Filter::Alive, Filter::Log]
}

fn expected(subject: &Subject) -> Vec<Filter> {
    match subject {
        Subject::Tenant { subject, .. } => match subject {
            TenantSubject::CommandAll | TenantSubject::CommandShim { .. } => vec![],
            TenantSubject::Ask { partition, verb: Verb::Hello, .. } => {
                vec![Filter::Asks(*partition), Filter::Hellos]
            }
            TenantSubject::Ask { partition, .. } => vec![Filter::Asks(*partition)],
            TenantSubject::Evidence { .. } => vec![Filter::Evidence],
        },
        Subject::Alive { .. } => vec![Filter::Alive],
        Subject::SessionLog { .. }
        | Subject::LeverLog { .. }
        | Subject::BarrierLog { .. }
        | Subject::AuditLog { .. }
        | Subject::TenantLog { .. } => vec![Filter::Log],
    }
}

/// NATS' rule: `*` is one token, `>` is one or more at the end.
fn takes(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for want in filter.split('.') {
        match (want, tokens.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            (want, Some(token)) if want != "*" && want != token => return false,
            (_, Some(_)) => {}
        }
    }
    tokens.next().is_none()
}

#[test]
fn subjects_read_as_in_the_table_of_the_design() {
    let tenant = TenantId::new("acme").unwrap();
    let shim = ShimId::new("s-1").unwrap();
    let partition = Partition::new(7).unwrap();
    let root = Root::Coordinator { tenant: tenant.clone() };
    for (subject, text) in [
        (TenantSubject::CommandAll, "tenant.acme.cmd.all"),
        (TenantSubject::CommandShim { shim: shim.clone() }, "tenant.acme.cmd.shim.s-1"),
        (
            TenantSubject::Ask { shim: shim.clone(), partition, verb: Verb::Renew },
            "tenant.acme.ask.s-1.7.renew",
        ),
        (TenantSubject::Evidence { shim, partition }, "tenant.acme.ev.s-1.7"),
    ] {
        assert_eq!(root.encode(&subject), text);
    }
    assert_eq!(Subject::LeverLog { scope: TenantId::fleet() }.to_string(), "log.lever._fleet");
    assert_eq!(Filter::Asks(partition).to_string(), "tenant.*.ask.*.7.>");
}

#[test]
fn another_tenants_subject_is_not_under_a_root() {
    let root = Root::Shim { tenant: Some(TenantId::new("acme").unwrap()) };
    for bad in ["tenant.other.cmd.all", "tenant.acm.cmd.all", "cmd.all", "tenant.acme"] {
        assert!(matches!(root.parse(bad), Err(InvalidSubject::Root { .. })), "{bad}");
    }
}

#[test]
fn the_fleets_log_tenant_has_no_shims() {
    assert_eq!("tenant._fleet.cmd.all".parse::<Subject>(), Err(InvalidSubject::Fleet));
}
