//! What may be linked: licences, bans and sources as `deny.toml` lists them, held where cargo-deny is not installed.
//!
//! What each crate declares is judged. `make deny` also reads the licence texts, and warns of crates in two versions.

use anyhow::{Context, Result, ensure};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use serde::Deserialize;
use serde::de::IgnoredAny;
use spdx::{Expression, Licensee, ParseMode};

const HOUSE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The rules. A rule that this test does not know is refused, so that none goes unheld.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Graph {
    all_features: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Licenses {
    allow: Vec<String>,
    #[serde(rename = "confidence-threshold")]
    _of_texts: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Bans {
    deny: Vec<Ban>,
    #[serde(rename = "multiple-versions")]
    _warned_of: IgnoredAny,
    #[serde(rename = "wildcards")]
    _allowed: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Sources {
    unknown_registry: String,
    unknown_git: String,
    allow_registry: Vec<String>,
    allow_git: Vec<String>,
}

impl Rules {
    fn read() -> Result<Self> {
        let rules: Self = toml::from_str(&std::fs::read_to_string(format!("{HOUSE}/deny.toml"))?)?;
        let sources = &rules.sources;
        ensure!(rules.graph.all_features, "deny.toml looks at some features only");
        ensure!(sources.unknown_registry == "deny" && sources.unknown_git == "deny");
        Ok(rules)
    }

    /// Why a crate may not be linked.
    fn objection(&self, package: &Package) -> Result<Option<String>> {
        let name = package.name.as_str();
        if let Some(Ban { reason, .. }) = self.bans.deny.iter().find(|ban| ban.name == name) {
            return Ok(Some(format!("{name} is banned: {reason}")));
        }
        if let Some(source) = &package.source
            && !self.sources.allow(&source.repr)
        {
            return Ok(Some(format!("{name} comes from {source}")));
        }
        let license = package.license.as_deref().unwrap_or("none");
        let allowed = self.licenses.allow(license).with_context(|| format!("{name}: {license}"))?;
        Ok((!allowed).then(|| format!("{name} is under {license}")))
    }
}

impl Licenses {
    /// Whether the licences that may be chosen, or all that have to be kept, are among the allowed ones.
    fn allow(&self, license: &str) -> Result<bool> {
        let allowed: Vec<Licensee> =
            self.allow.iter().map(|name| Licensee::parse(name)).collect::<Result<_, _>>()?;
        // Before SPDX had expressions, a slash stood for "or".
        let expression = Expression::parse_mode(license, ParseMode::LAX)?;
        Ok(expression.evaluate(|wanted| allowed.iter().any(|allowed| allowed.satisfies(wanted))))
    }
}

impl Sources {
    fn allow(&self, source: &str) -> bool {
        let allowed = |list: &[String], url: &str| list.iter().any(|known| known == url);
        match source.split_once('+') {
            Some(("registry", url)) => allowed(&self.allow_registry, url),
            Some(("git", url)) => {
                allowed(&self.allow_git, url.split(['?', '#']).next().unwrap_or(url))
            }
            Some(_) | None => false,
        }
    }
}

/// Every crate that any feature links on any platform, tests and builds included.
fn graph() -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    command.manifest_path(format!("{HOUSE}/Cargo.toml"));
    command.other_options(["--locked", "--all-features"].map(str::to_owned));
    Ok(command.exec()?)
}

#[test]
fn every_dependency_keeps_the_rules_of_deny_toml() -> Result<()> {
    let rules = Rules::read()?;
    let graph = graph()?;
    ensure!(graph.packages.len() > 100, "cargo lists {} crates only", graph.packages.len());
    let objections: Result<Vec<Option<String>>> =
        graph.packages.iter().map(|package| rules.objection(package)).collect();
    let objections: Vec<String> = objections?.into_iter().flatten().collect();
    assert!(objections.is_empty(), "{}", objections.join("\n"));
    Ok(())
}

#[test]
fn a_licence_is_judged_by_what_may_be_chosen_and_what_has_to_be_kept() -> Result<()> {
    let licenses = Rules::read()?.licenses;
    for (license, allowed) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("Apache-2.0 / MIT", true),
        ("MIT OR GPL-3.0-only", true),
        ("Apache-2.0 AND ISC", true),
        ("MIT AND GPL-3.0-only", false),
        ("MPL-2.0", false),
    ] {
        assert_eq!(licenses.allow(license)?, allowed, "{license}");
    }
    assert!(licenses.allow("none").is_err(), "a crate without a licence is no crate of ours");
    Ok(())
}

#[test]
fn what_comes_from_elsewhere_is_refused() -> Result<()> {
    let Rules { sources, .. } = Rules::read()?;
    assert!(sources.allow("registry+https://github.com/rust-lang/crates.io-index"));
    assert!(!sources.allow("registry+https://registry.invalid/index"));
    assert!(!sources.allow("git+https://github.com/rust-lang/cargo?branch=master#0123"));
    Ok(())
}
