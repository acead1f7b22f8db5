//! The last word of the agent's owner.

use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::id::Environment;
use squall_proto::vocabulary::limits::FAULT_DURATION_MS_MAX;
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::site::Allowance;

/// What the owner of a process lets happen in it. Off unless opted in; the coordinator can only narrow it.
///
/// The kill switch is [`Registry::kill`](crate::Registry::kill).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether the process takes part at all.
    pub enabled: bool,
    /// Where the process runs.
    pub environment: Environment,
    /// Kinds of faults that are allowed.
    pub allowed: Vec<FaultKind>,
    /// Most injections in this process's life; `None` sets no bound of its own.
    pub max_injections: Option<u64>,
    /// Longest time that a fault may hold a call, in milliseconds. An experiment that may take longer is left out.
    pub max_delay_ms: u64,
}

/// What the runtime read from the environment, as it stands there. Empty text counts as not set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// `SQUALL_ENABLED`: `true` opts in, `false` leaves chaos off whatever the other one says.
    pub enabled: Option<&'a str>,
    /// `FEATURE_CHAOS_ENGINEERING`: `true` opts in too.
    pub feature_chaos_engineering: Option<&'a str>,
    /// `SQUALL_ENVIRONMENT`: default `production`.
    pub environment: Option<&'a str>,
    /// `SQUALL_ALLOW`: kinds and caps, `latency,error,max_injections=100,max_delay_ms=2000`. `all` and `none` stand for
    /// kinds; without any kind, all are allowed.
    pub allow: Option<&'a str>,
}

/// Why settings are no policy. The runtime must leave chaos off then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {problem}")]
pub struct InvalidSettings {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong: "is `maybe`; allowed is true or false".
    pub problem: String,
}

impl Policy {
    /// No chaos.
    #[must_use]
    pub fn off() -> Self {
        Self {
            enabled: false,
            environment: Environment::production(),
            allowed: Vec::new(),
            max_injections: None,
            max_delay_ms: FAULT_DURATION_MS_MAX,
        }
    }

    /// Everything, in `environment`: for tests and for owners who decide in code.
    #[must_use]
    pub fn all(environment: Environment) -> Self {
        Self { enabled: true, environment, allowed: FaultKind::ALL.to_vec(), ..Self::off() }
    }

    /// What leaves out whole experiments: a Hello says it, so that none is started that can't be applied.
    #[must_use]
    pub fn allowance(&self) -> Allowance<'_> {
        let Self { environment, allowed, max_delay_ms, .. } = self;
        Allowance { environment, kinds: allowed, max_delay_ms: *max_delay_ms }
    }

    /// Reads the owner's settings.
    ///
    /// # Errors
    /// [`InvalidSettings`] names the first variable that can't be understood.
    pub fn parse(settings: &Settings<'_>) -> Result<Self, InvalidSettings> {
        let Settings { enabled, feature_chaos_engineering, environment, allow } = *settings;
        let enabled = switch("SQUALL_ENABLED", enabled)?;
        let feature = switch("FEATURE_CHAOS_ENGINEERING", feature_chaos_engineering)?;
        let environment = match given(environment) {
            None => Environment::production(),
            Some(name) => Environment::new(name)
                .map_err(|error| invalid("SQUALL_ENVIRONMENT", error.to_string()))?,
        };
        let mut policy = Self::all(environment);
        policy.enabled = enabled.or(feature).unwrap_or(false);
        policy.allow(given(allow).unwrap_or("all"))?;
        Ok(policy)
    }

    fn allow(&mut self, list: &str) -> Result<(), InvalidSettings> {
        let mut kinds = None;
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            match entry.split_once('=') {
                Some(("max_injections", number)) => self.max_injections = Some(cap(number)?),
                Some(("max_delay_ms", number)) => {
                    self.max_delay_ms = cap(number)?.min(FAULT_DURATION_MS_MAX);
                }
                Some((name, _)) => return Err(unknown(name)),
                None => kinds.get_or_insert_with(Vec::new).extend(kinds_of(entry)?),
            }
        }
        if let Some(mut kinds) = kinds {
            kinds.sort_unstable();
            kinds.dedup();
            self.allowed = kinds;
        }
        Ok(())
    }
}

const ALLOW: &str = "SQUALL_ALLOW";

fn kinds_of(entry: &str) -> Result<Vec<FaultKind>, InvalidSettings> {
    match entry {
        "all" => Ok(FaultKind::ALL.to_vec()),
        "none" => Ok(Vec::new()),
        name => FaultKind::from_name(name).map(|kind| vec![kind]).ok_or_else(|| unknown(name)),
    }
}

fn cap(number: &str) -> Result<u64, InvalidSettings> {
    let problem = |_| format!("has the cap `{number}`; allowed are whole numbers from 0");
    number.trim().parse().map_err(|error: std::num::ParseIntError| invalid(ALLOW, problem(error)))
}

fn unknown(name: &str) -> InvalidSettings {
    let kinds = FaultKind::allowed();
    let problem = format!(
        "has the entry `{name}`; allowed are all, none, {kinds}, max_injections=N, max_delay_ms=N"
    );
    invalid(ALLOW, problem)
}

fn switch(variable: &'static str, value: Option<&str>) -> Result<Option<bool>, InvalidSettings> {
    match given(value).map(str::to_ascii_lowercase).as_deref() {
        None => Ok(None),
        Some("true" | "1") => Ok(Some(true)),
        Some("false" | "0") => Ok(Some(false)),
        Some(other) => Err(invalid(variable, format!("is `{other}`; allowed is true or false"))),
    }
}

fn given(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty())
}

fn invalid(variable: &'static str, problem: String) -> InvalidSettings {
    InvalidSettings { variable, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(enabled: &str, feature: &str, allow: &str) -> Result<Policy, InvalidSettings> {
        Policy::parse(&Settings {
            enabled: Some(enabled),
            feature_chaos_engineering: Some(feature),
            environment: None,
            allow: Some(allow),
        })
    }

    #[test]
    fn a_process_takes_no_part_unless_it_opted_in() {
        let policy = Policy::parse(&Settings::default()).unwrap();
        assert!(!policy.enabled);
        assert_eq!(policy.environment, Environment::production());
        for (enabled, feature, expected) in [
            ("true", "", true),
            ("", "true", true),
            ("TRUE", "false", true),
            ("1", "", true),
            ("false", "true", false),
            ("0", "", false),
            ("", "false", false),
        ] {
            let policy = parse(enabled, feature, "").unwrap();
            assert_eq!(policy.enabled, expected, "{enabled:?} {feature:?}");
        }
        assert_eq!(
            parse("maybe", "", "").unwrap_err().to_string(),
            "SQUALL_ENABLED is `maybe`; allowed is true or false"
        );
    }

    #[test]
    fn the_allow_list_holds_kinds_and_caps() {
        let policy =
            parse("true", "", " error, latency,max_injections=100,max_delay_ms=2000").unwrap();
        assert_eq!(policy.allowed, [FaultKind::Latency, FaultKind::Error]);
        assert_eq!((policy.max_injections, policy.max_delay_ms), (Some(100), 2_000));
        assert_eq!(parse("true", "", "none").unwrap().allowed, []);
        assert_eq!(parse("true", "", "max_injections=5").unwrap().allowed, FaultKind::ALL);
        assert_eq!(parse("true", "", "").unwrap().allowed, FaultKind::ALL);
        for wrong in ["latncy", "max_injections=-1", "max_injections=", "max=3", "error=1"] {
            let error = parse("true", "", wrong).unwrap_err();
            assert_eq!(error.variable, "SQUALL_ALLOW", "{wrong}");
        }
    }

    #[test]
    fn an_environment_that_is_no_token_is_refused() {
        let settings = Settings { environment: Some("a b"), ..Settings::default() };
        assert_eq!(Policy::parse(&settings).unwrap_err().variable, "SQUALL_ENVIRONMENT");
    }
}
