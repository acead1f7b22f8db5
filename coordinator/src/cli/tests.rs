use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Cli, ErrorKind> {
    let words = std::iter::once("squall").chain(line.split_whitespace());
    Cli::try_parse_from(words).map_err(|error| error.kind())
}

fn commands() -> Vec<(String, clap::Command)> {
    fn below(path: &str, command: &clap::Command, found: &mut Vec<(String, clap::Command)>) {
        for inner in command.get_subcommands() {
            let path = format!("{path} {}", inner.get_name());
            below(&path, inner, found);
            if !inner.has_subcommands() {
                found.push((path, inner.clone()));
            }
        }
    }
    let mut found = Vec::new();
    below("squall", &Cli::command(), &mut found);
    found
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn the_help_shows_a_first_session_and_the_exit_codes() {
    insta::assert_snapshot!(Cli::command().term_width(100).render_long_help());
}

#[test]
fn every_command_says_what_it_does_and_teaches_with_examples() {
    for (path, command) in commands() {
        assert!(command.get_about().is_some(), "{path} has no help");
        let examples = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        assert!(examples.contains(&path) || path == "squall version", "{path} has no example");
    }
}

#[test]
fn the_exit_codes_of_the_help_are_those_of_failures() {
    let codes = [Exit::Failed, Exit::BadInput, Exit::NotFound, Exit::Unavailable, Exit::NotProven];
    for exit in codes {
        assert!(AFTER_HELP.contains(&format!("\n  {}  ", exit.code())), "{exit:?}");
    }
}

#[test]
fn every_command_of_the_first_screen_is_understood() {
    for line in [
        "dev",
        "dev --listen 127.0.0.1:7071 --data /tmp/squall --nats-port 4333",
        "serve --nats nats://a:4222,nats://b:4222 --replicas 3",
        "session create -f deploy/examples/first.yaml",
        "session start first --wait-for-shims 30s",
        "session pause first",
        "session resume first --request-id again-1",
        "session stop first",
        "session abort first --reason enough --timeout 10s",
        "session watch first --output json",
        "session list --state running,log-damaged",
        "session show tenants/acme/sessions/first",
        "session log first --follow --from 7",
        "session report first --calls",
        "halt engage --all --reason incident",
        "halt release --tenant acme --reason over",
        "halt status",
        "fleet --tenant -",
        "drill --tenant acme --for 2m --disturb true --every 40s --also 127.0.0.1:7071,127.0.0.1:7072",
        "types latency",
        "version",
        "completions zsh",
    ] {
        assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
    }
}

#[test]
fn what_is_missing_or_wrong_is_refused() {
    for line in [
        "session abort first",
        "session create",
        "session start",
        "session start first --wait-for-shims soon",
        "halt engage --all",
        "serve",
        "serve --nats nats://a:4222 --replicas 2",
        "session list --state busy",
        "fleet --output xml",
        "drill --every 40s",
        "drill --budget 0",
        "dev --listen nowhere",
    ] {
        assert!(parse(line).is_err(), "{line} was accepted");
    }
}

#[test]
fn a_length_of_time_is_parsed_once_for_all_commands() {
    assert_eq!(
        parse("session abort a --reason b --timeout soon").err(),
        Some(ErrorKind::ValueValidation)
    );
}
