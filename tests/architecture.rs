//! The rule of dependencies: arrows only point down, and the pure crates have nothing to do I/O with.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");

/// The pure crates, and all that each of them may link, however far down. None of it opens a socket or a file, reads a
/// clock or draws a number; whoever adds to these lists has looked.
const PURE: [(&str, &[&str]); 3] = [
    ("squall-proto", &[]),
    ("squall-domain", &["squall-proto"]),
    (
        "squall-shim-core",
        &[
            "squall-proto",
            // JSON that keeps the order of its fields.
            "serde_json",
            "itoa",
            "zmij",
            "memchr",
            "indexmap",
            "equivalent",
            "hashbrown",
            "foldhash",
        ],
    ),
];

/// Derives of data and of errors: compiled code of types, and macros that run at build time.
const DERIVES: [&str; 9] = [
    "serde",
    "serde_core",
    "serde_derive",
    "thiserror",
    "thiserror-impl",
    "syn",
    "quote",
    "proc-macro2",
    "unicode-ident",
];

/// What runs tasks or speaks over networks: more than a message needs to be written and read.
const RUNTIMES: [&str; 5] = ["tokio", "async-nats", "tonic", "hyper", "futures"];

/// Everything that a crate links or builds with on any platform, with its default features and these.
fn links(package: &str, features: &str) -> Result<BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").context("run by cargo")?;
    let tree = Command::new(cargo)
        .args(["tree", "--locked", "--manifest-path", MANIFEST, "--package", package])
        .args(["--features", features, "--edges", "normal,build", "--target", "all"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}"])
        .output()?;
    ensure!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let names: BTreeSet<String> = String::from_utf8(tree.stdout)?
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    ensure!(names.contains(package), "cargo does not list {package} itself: {names:?}");
    Ok(names)
}

#[test]
fn arrows_between_crates_only_point_down() -> Result<()> {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("squall-proto", [].as_slice()),
        ("squall-domain", ["squall-proto"].as_slice()),
        ("squall-shim-core", ["squall-proto"].as_slice()),
        ("squall", ["squall-proto", "squall-domain"].as_slice()),
        ("squall-shim", ["squall-proto", "squall-shim-core"].as_slice()),
        (
            "squall-tests",
            ["squall", "squall-domain", "squall-proto", "squall-shim", "squall-shim-core"]
                .as_slice(),
        ),
        // A judge that shared code with the judged would repeat its errors.
        ("squall-drill-checker", [].as_slice()),
        (
            "squall-drill",
            ["squall-drill-checker", "squall-proto", "squall-shim", "squall-tests"].as_slice(),
        ),
        ("squall-fuzz", ["squall", "squall-domain", "squall-proto", "squall-shim"].as_slice()),
        ("squall-sim", ["squall", "squall-domain", "squall-proto", "squall-shim-core"].as_slice()),
        ("squall-soak", ["squall", "squall-proto", "squall-shim", "squall-tests"].as_slice()),
        ("squall-mutations", [].as_slice()),
        ("squall-model", ["squall-domain", "squall-proto", "squall-shim-core"].as_slice()),
    ]);
    let metadata = MetadataCommand::new().manifest_path(MANIFEST).no_deps().exec()?;
    let ours: BTreeSet<String> =
        metadata.packages.iter().map(|package| package.name.to_string()).collect();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let allowed =
            allowed.get(name).with_context(|| format!("{name} has no room on the map"))?;
        for dependency in &package.dependencies {
            let points_down =
                !ours.contains(&dependency.name) || allowed.contains(&dependency.name.as_str());
            assert!(points_down, "{name} may not depend on {}", dependency.name);
        }
    }
    Ok(())
}

#[test]
fn pure_crates_have_nothing_to_do_io_with() -> Result<()> {
    for (pure, allowed) in PURE {
        let mut links = links(pure, "")?;
        links.retain(|name| {
            name != pure && !allowed.contains(&name.as_str()) && !DERIVES.contains(&name.as_str())
        });
        assert!(links.is_empty(), "{pure} links {links:?}, which nobody has said to be pure");
    }
    Ok(())
}

#[test]
fn messages_are_written_and_read_without_a_runtime() -> Result<()> {
    let links = links("squall-proto", "wire,schema")?;
    let runtimes: Vec<_> = RUNTIMES.iter().filter(|name| links.contains(**name)).collect();
    assert!(runtimes.is_empty(), "squall-proto without its feature grpc links {runtimes:?}");
    Ok(())
}
