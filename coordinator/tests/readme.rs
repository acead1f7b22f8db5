//! README says what is true: its file is the example, its commands are the program's, its targets are the Makefile's.
//!
//! Whether the first session works is not here: `tests/first_session.rs` runs it, with the agent.

use std::path::Path;

use clap::Parser;
use squall::cli::Cli;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The commands that the documents show, without their comments.
fn commands(program: &str) -> Vec<String> {
    let shown = ["README.md", "CONTRIBUTING.md"].map(read).join("\n");
    let prefix = format!("$ {program} ");
    shown
        .lines()
        .filter(|line| line.starts_with(&prefix))
        .map(|line| line[2..].split('#').next().unwrap_or_default().trim().to_owned())
        .collect()
}

#[test]
fn the_session_in_the_readme_is_the_example_file() {
    let readme = read("README.md");
    let shown = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(shown, Some(read("deploy/examples/first.yaml").as_str()));
}

#[test]
fn every_squall_command_in_the_documents_is_one() {
    let commands = commands("squall");
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let words = command.replace("\"seen enough\"", "seen-enough");
        if let Err(error) = Cli::try_parse_from(words.split_whitespace()) {
            panic!("`{command}`: {error}");
        }
    }
}

/// The picture of the first screen is held to the program by a unit test.
#[test]
fn the_variables_in_the_readme_are_those_that_squall_dev_prints() {
    let printed = read(
        "coordinator/src/cli/snapshots/squall__cli__dev__tests__the_first_screen_says_what_to_do_next.snap",
    );
    let exports = commands("export");
    assert_eq!(exports.len(), 3, "{exports:?}");
    for export in exports {
        assert!(printed.contains(&format!("  {export}\n")), "`{export}` is not printed");
    }
}

#[test]
fn every_make_target_in_the_documents_is_in_the_makefile() {
    let (makefile, commands) = (read("Makefile"), commands("make"));
    assert!(commands.len() >= 3, "{commands:?}");
    for command in commands {
        let target = command.split_whitespace().nth(1).expect("a target");
        assert!(makefile.contains(&format!("\n{target}:")), "`{command}` is no target");
    }
}

#[test]
fn what_the_readme_has_installed_by_pip_is_what_make_tools_installs() {
    let (readme, wanted) = (read("README.md"), read("deploy/tools/requirements.txt"));
    let named: Vec<_> =
        readme.split("`pip install ").skip(1).filter_map(|rest| rest.split('`').next()).collect();
    assert_eq!(named.len(), 1, "{named:?}");
    assert!(wanted.contains(&format!("\n{}==", named[0])), "{named:?}");
}

#[test]
fn every_file_that_the_documents_link_to_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        for link in read(document).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(root.join(link).exists(), "{document} links to {link}");
        }
    }
}
