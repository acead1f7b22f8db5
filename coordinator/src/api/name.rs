//! Resource names: `tenants/{tenant}/sessions/{session}`, and `tenants/{tenant}` or `tenants/-` as their parents.

use squall_proto::vocabulary::id::{SessionKey, TenantId};
use squall_proto::vocabulary::violation::Check;

/// Whose resources a list is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    /// `tenants/-`: all that the caller may see.
    All,
    /// `tenants/{tenant}`.
    Tenant(TenantId),
}

impl Parent {
    /// The tenant to look for; `None` for all.
    pub(crate) fn tenant(&self) -> Option<TenantId> {
        match self {
            Self::All => None,
            Self::Tenant(tenant) => Some(tenant.clone()),
        }
    }
}

/// Reads the field `name`: the name of one session.
pub(crate) fn session(check: &mut Check, name: &str) -> Option<SessionKey> {
    check.field("name", |check| {
        let parts: Vec<&str> = name.split('/').collect();
        let ["tenants", tenant, "sessions", session] = parts.as_slice() else {
            check.wrong(format!("is {name:?}; allowed is tenants/{{tenant}}/sessions/{{session}}"));
            return None;
        };
        let tenant =
            check.value(tenant.parse().map_err(|error| format!("has a tenant that {error}")));
        let session =
            check.value(session.parse().map_err(|error| format!("has a session that {error}")));
        Some(SessionKey { tenant: tenant?, session: session? })
    })
}

/// Reads the field `parent`: one tenant, or all.
pub(crate) fn parent(check: &mut Check, parent: &str) -> Option<Parent> {
    check.field("parent", |check| match parent.strip_prefix("tenants/") {
        Some("-") => Some(Parent::All),
        Some(tenant) => check.value(tenant.parse()).map(Parent::Tenant),
        None => {
            check.wrong(format!(
                "is {parent:?}; allowed is tenants/{{tenant}}, or tenants/- for all"
            ));
            None
        }
    })
}

/// Reads the field `parent` of something new: one tenant.
pub(crate) fn owner(check: &mut Check, parent: &str) -> Option<TenantId> {
    match self::parent(check, parent)? {
        Parent::Tenant(tenant) => Some(tenant),
        Parent::All => {
            check.field("parent", |check| {
                check.wrong("is tenants/-; allowed is one tenant, tenants/{tenant}");
            });
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use squall_proto::vocabulary::violation::Violations;

    use super::*;

    fn read<T>(read: impl FnOnce(&mut Check) -> Option<T>) -> Result<T, Violations> {
        let mut check = Check::new();
        let value = read(&mut check);
        check.finish(value)
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let key = read(|check| session(check, "tenants/_fleet/sessions/a-1")).unwrap();
        assert_eq!(key.to_string(), "tenants/_fleet/sessions/a-1");
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for bad in [
            "",
            "a",
            "tenants/a",
            "tenants/a/sessions/",
            "tenants//sessions/b",
            "tenants/a/sessions/b/c",
            "tenants/a.b/sessions/c",
            "Tenants/a/sessions/b",
            "tenants/-/sessions/b.c",
        ] {
            assert!(read(|check| session(check, bad)).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_parent_is_one_tenant_or_all_but_new_things_have_one() {
        assert_eq!(read(|check| parent(check, "tenants/-")).unwrap(), Parent::All);
        assert!(read(|check| parent(check, "acme")).is_err());
        assert!(read(|check| owner(check, "tenants/-")).is_err());
        assert_eq!(read(|check| owner(check, "tenants/acme")).unwrap().as_str(), "acme");
    }
}
