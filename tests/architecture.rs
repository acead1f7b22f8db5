//! The rule of dependencies: arrows only point down, and the pure crates have nothing to do I/O with.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Crates that read clocks, draw random numbers, or touch networks and disks.
const IMPURE: [&str; 9] =
    ["tokio", "async-nats", "tonic", "prost", "rand", "rustix", "libc", "tracing", "futures"];

fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo metadata")
}

/// What a crate always links: neither optional nor for tests or builds.
fn links(package: &Package) -> BTreeSet<String> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal && !dependency.optional)
        .map(|dependency| dependency.name.clone())
        .collect()
}

#[test]
fn arrows_between_crates_only_point_down() {
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
    ]);
    let metadata = metadata();
    let ours: BTreeSet<String> =
        metadata.packages.iter().map(|package| package.name.to_string()).collect();
    for package in &metadata.packages {
        let allowed = allowed
            .get(package.name.as_str())
            .unwrap_or_else(|| panic!("{} has no room on the map", package.name));
        for dependency in &package.dependencies {
            let points_down =
                !ours.contains(&dependency.name) || allowed.contains(&dependency.name.as_str());
            assert!(points_down, "{} may not depend on {}", package.name, dependency.name);
        }
    }
}

#[test]
fn pure_crates_have_nothing_to_do_io_with() {
    let metadata = metadata();
    for pure in ["squall-proto", "squall-domain", "squall-shim-core"] {
        let package = metadata
            .packages
            .iter()
            .find(|package| package.name == pure)
            .expect("the crate is there");
        let links = links(package);
        let impure: Vec<_> = IMPURE.iter().filter(|name| links.contains(**name)).collect();
        assert!(impure.is_empty(), "{pure} links {impure:?}");
    }
}
