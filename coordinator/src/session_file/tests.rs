use std::path::{Path, PathBuf};

use super::*;

fn lines(text: &str) -> Vec<String> {
    let Violations(found) = SessionFile::parse(text).expect_err("was accepted");
    found.iter().map(ToString::to_string).collect()
}

fn fields(text: &str) -> Vec<String> {
    let Violations(found) = SessionFile::parse(text).expect_err("was accepted");
    found.into_iter().map(|violation| violation.field).collect()
}

const SHORTEST: &str =
    "experiments: [{fault: {latency: {}}}]\nsafety: {max_affected_requests: 50}\n";

#[test]
fn the_shortest_file_is_a_session_in_yaml_and_in_json() {
    let yaml = SessionFile::parse(SHORTEST).unwrap();
    let json =
        r#"{"experiments":[{"fault":{"latency":{}}}],"safety":{"max_affected_requests":50}}"#;
    assert_eq!(SessionFile::parse(json).unwrap(), yaml);
    let flow = "{experiments: [{fault: {latency: {}}}], safety: {max_affected_requests: 50}}";
    assert_eq!(SessionFile::parse(flow).unwrap(), yaml);
    assert_eq!((yaml.tenant, yaml.session_id), (None, None));
    assert_eq!(yaml.spec.safety.max_affected_requests, 50);
}

#[test]
fn a_checked_specification_survives_its_own_json() {
    let file = SessionFile::parse(SHORTEST).unwrap();
    let written = serde_json::to_string(&SessionDraft::from(&file.spec)).unwrap();
    assert_eq!(SessionFile::parse(&written).unwrap().spec, file.spec);
}

#[test]
fn unknown_fields_wrong_types_and_wrong_values_are_named_at_once() {
    let text = "
tenant: acme.corp
colour: red
experiments:
  - fault: {latency: {min_ms: 9, max_ms: 3, jitter: 2}}
    probability: 1.5
  - fault: {error: {codes: [500, twelve, 503.5]}}
    agents: planner
  - just a text
target: {percentage: .nan}
safety: {max_affected_requests: -1, blast_radius: galaxy}
";
    insta::assert_snapshot!(lines(text).join("\n"), @r#"
experiments[1].fault.error.codes[1] is the string "twelve"; allowed is a whole number without sign or unit
experiments[1].fault.error.codes[2] is the floating point 503.5; allowed is a whole number without sign or unit
experiments[1].agents is the string "planner"; allowed is a list
experiments[2] is the string "just a text"; allowed is fields
target.percentage is no finite number; allowed is a number
safety.max_affected_requests is the integer -1; allowed is a whole number without sign or unit
colour is not a field of a session; allowed are tenant, session_id, title, experiments, target, safety
experiments[0].fault.latency.jitter is not a field of a session; allowed are distribution, fixed_ms, min_ms, max_ms, median_ms, sigma
tenant holds '.'; allowed are A-Z a-z 0-9 _ -
experiments[0].fault.latency.min_ms is 9, which is over max_ms 3
experiments[0].probability is 1.5; allowed is 0 to 1
safety.blast_radius is "galaxy"; allowed are single_request, single_agent, single_trace, single_tenant, multi_tenant
"#);
}

#[test]
fn text_that_is_no_session_is_refused_with_one_sentence() {
    insta::assert_snapshot!(
        [
            "", "[1, 2]", "just words", "a: [1", "a: 1\na: 2", "{\"a\": 1, \"a\": 2}", "{\"a\": tru}",
            "a: 1\n---\nb: 2", "a: &x [*x]", "a: *nobody", "\u{0}",
        ]
        .map(|text| format!("{text:?} -> {}", lines(text).join(" | ")))
        .join("\n"),
        @r#"
"" -> the file holds nothing; a session has fields, `experiments` and `safety` at least
"[1, 2]" -> the file holds a list; a session has fields, `experiments` and `safety` at least
"just words" -> the file holds a single value; a session has fields, `experiments` and `safety` at least
"a: [1" -> the file is not usable YAML: unclosed bracket '[' at line 1, column 4
"a: 1\na: 2" -> the file is not usable YAML: duplicate mapping key `a` is not allowed here at line 2, column 1
"{\"a\": 1, \"a\": 2}" -> the file is not JSON: the field "a" is written twice at line 1 column 16
"{\"a\": tru}" -> the file is not JSON: expected ident at line 1 column 10
"a: 1\n---\nb: 2" -> the file is not usable YAML: only single YAML document expected but multiple found at line 3, column 1
"a: &x [*x]" -> the file is not usable YAML: Recursive reference not allowed here at line 1, column 8
"a: *nobody" -> the file is not usable YAML: reference to unknown value at line 1, column 4
"\0" -> the file is not usable YAML: unexpected character: `\u{0}' at line 1, column 1
"#
    );
}

#[test]
fn a_kind_without_a_value_is_not_taken_for_its_defaults() {
    let text = "experiments: [{fault: {latency: }}]\nsafety: {max_affected_requests: 5}";
    assert_eq!(
        lines(text),
        ["experiments[0].fault is empty; write `latency: {}` to take its defaults"]
    );
}

#[test]
fn a_field_without_a_value_is_not_taken_for_its_default() {
    let text = "experiments: [{fault: {latency: {min_ms: }}, probability: }]\nsafety: {max_affected_requests: }\ntarget:";
    assert_eq!(
        fields(text),
        [
            "experiments[0].fault.latency.min_ms",
            "experiments[0].probability",
            "safety.max_affected_requests",
            "target",
        ]
    );
    let json = r#"{"experiments":[{"fault":{"latency":{}},"probability":null}],"safety":{"max_affected_requests":5}}"#;
    assert_eq!(
        lines(json),
        ["experiments[0].probability has no value; write one, or leave the field out"]
    );
}

#[test]
fn a_slip_of_the_pen_is_told_what_it_meant() {
    let text = "experiments: [{fault: {latency: {}}, probabilty: 0.1}]\nsafety: {max_affected_requests: 5}";
    let told = lines(text).join("\n");
    assert!(told.contains("did you mean probability? Allowed are name, fault"), "{told}");
}

#[test]
fn a_file_over_the_limit_is_refused_before_it_is_read() {
    let text = format!("{SHORTEST}# {}", "x".repeat(SPEC_BYTES_MAX));
    assert_eq!(fields(&text), [""]);
}

#[test]
fn nesting_and_aliases_cannot_blow_up() {
    let deep = format!("title: {}{}", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(fields(&deep), [""]);
    let deep = format!("{{\"title\": {}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(fields(&deep), [""]);
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    assert_eq!(fields(&bomb), [""]);
}

#[test]
fn a_hundred_wrong_types_end() {
    let text = format!("experiments: [{}]", vec!["7"; 500].join(","));
    assert!(fields(&text).len() <= VIOLATIONS_MAX + 2);
}

#[test]
fn fields_that_are_allowed_come_from_the_schema() {
    assert_eq!(schema::fields("safety.max_rate").unwrap(), ["permits", "window_s"]);
    assert!(schema::fields("experiments[0].fault").unwrap().contains(&"latency"));
    assert!(schema::fields("safety.max_per_tenant").is_none());
}

#[test]
fn what_the_schema_requires_is_required() {
    let whole = serde_json::json!({
        "experiments": [{"fault": {"latency": {}}}],
        "safety": {"max_affected_requests": 5, "max_rate": {"permits": 1, "window_s": 1}},
    });
    assert!(SessionFile::parse(&whole.to_string()).is_ok());
    for path in [
        "/experiments",
        "/safety",
        "/experiments/0/fault",
        "/safety/max_affected_requests",
        "/safety/max_rate/permits",
        "/safety/max_rate/window_s",
    ] {
        let (parent, field) = path.rsplit_once('/').unwrap();
        let mut file = whole.clone();
        file.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field).unwrap();
        assert!(SessionFile::parse(&file.to_string()).is_err(), "{path} is not required");
    }
}

#[test]
fn a_file_may_name_its_schema() {
    let file = format!("$schema: ../session.schema.json\n{SHORTEST}");
    assert!(SessionFile::parse(&file).is_ok());
}

#[test]
fn every_bound_of_the_schema_is_on_a_field_that_exists() {
    let schema = serde_json::to_string(schema()).unwrap();
    for text in ["\"maximum\":604800", "\"malformed_output\"", "\"galaxy\""] {
        assert_eq!(schema.contains(text), text != "\"galaxy\"", "{text}");
    }
    for (owner, field, _) in schema::bounds() {
        let owner =
            if owner.is_empty() { super::schema() } else { &super::schema()["$defs"][owner] };
        assert!(owner["properties"][field].is_object(), "{owner}.{field}");
    }
}

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

#[test]
fn the_published_schema_is_the_one_that_is_generated() {
    let path = deploy("session.schema.json");
    let generated = format!("{:#}\n", schema());
    if std::env::var_os("SQUALL_BLESS").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == generated,
        "{} is stale; write it anew with `SQUALL_BLESS=1 cargo test -p squall session_file`",
        path.display()
    );
}

#[test]
fn every_published_example_is_a_session() {
    let mut count = 0;
    for entry in std::fs::read_dir(deploy("examples")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if let Err(violations) = SessionFile::parse(&text) {
            panic!("{}: {violations}", path.display());
        }
        count += 1;
    }
    assert!(count >= 6, "only {count} examples");
}
