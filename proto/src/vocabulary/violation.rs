//! What is wrong with a request: every violation at once, each with the path of its field.

use std::fmt;

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where: `experiments[2].fault.latency.min_ms`. Empty for the request as a whole.
    pub field: String,
    /// What was found and what is allowed, as a sentence fragment: "is 1.5; allowed is 0 to 1".
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "{} {}", self.field, self.problem)
        }
    }
}

/// All violations of one request, in the order of its fields. Never empty when it is an error.
#[derive(Clone, Debug, PartialEq, Eq, Default, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Violations(pub Vec<Violation>);

impl Violations {
    /// A single violation.
    #[must_use]
    pub fn one(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self(vec![Violation { field: field.into(), problem: problem.into() }])
    }
}

/// Collects violations while a request is checked, and knows the path to where the check is.
#[derive(Debug, Default)]
pub struct Check {
    path: Vec<String>,
    found: Vec<Violation>,
}

impl Check {
    /// Starts with an empty path.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks something under the field `name`.
    pub fn field<T>(&mut self, name: &str, check: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(name.to_owned());
        let result = check(self);
        self.path.pop();
        result
    }

    /// Checks each item of the list `name`.
    pub fn each<I, T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = I>,
        mut check: impl FnMut(&mut Self, I) -> T,
    ) -> Vec<T> {
        items
            .into_iter()
            .enumerate()
            .map(|(index, item)| {
                self.field(&format!("{name}[{index}]"), |inner| check(inner, item))
            })
            .collect()
    }

    /// Notes a problem with the field at the current path.
    pub fn wrong(&mut self, problem: impl Into<String>) {
        self.found.push(Violation { field: self.path.join("."), problem: problem.into() });
    }

    /// Notes a problem unless `allowed`.
    pub fn require(&mut self, allowed: bool, problem: impl FnOnce() -> String) {
        if !allowed {
            self.wrong(problem());
        }
    }

    /// Takes the value of `result`, or notes its error as a problem.
    pub fn value<T, E: fmt::Display>(&mut self, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.wrong(error.to_string())).ok()
    }

    /// `value` if nothing was wrong, else all that was found.
    ///
    /// # Errors
    /// [`Violations`] when at least one problem was noted.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Violations> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(Violations(self.found)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_violations_are_named_with_their_paths() {
        let mut check = Check::new();
        check.field("target", |check| {
            check.field("percentage", |check| check.wrong("is NaN; allowed is 0 to 1"))
        });
        check.each("experiments", [1, 2], |check, n| check.require(n != 2, || "is 2".into()));
        let error = check.finish(Some(())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "target.percentage is NaN; allowed is 0 to 1; experiments[1] is 2"
        );
    }
}
