//! Names on the command line: `first` with a tenant from `--tenant` or `SQUALL_TENANT`, or
//! `tenants/acme/sessions/first` in full.

use squall_proto::vocabulary::id::{RequestId, SessionId, SessionKey, TenantId};
use squall_proto::vocabulary::violation::Check;
use uuid::Uuid;

use super::Global;
use super::failure::{COMMAND_LINE, Failure};

/// A session on the command line.
#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// The session: its id, or tenants/TENANT/sessions/ID
    #[arg(value_name = "SESSION")]
    session: String,
}

impl Named {
    /// The session's resource name.
    pub(super) fn resolve(&self, global: &Global) -> Result<SessionKey, Failure> {
        session(&self.session, global.tenant())
    }
}

/// What makes a change happen once.
#[derive(Debug, clap::Args)]
pub(super) struct Once {
    /// Makes the command happen once however often it is sent, a token [A-Za-z0-9_-]{1,64}; default: a new one
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

impl Once {
    /// The given id, or a new one.
    pub(super) fn id(&self) -> Result<String, Failure> {
        let mut check = Check::new();
        let id = self.checked(&mut check);
        check.finish(id).map_err(|violations| Failure::bad(COMMAND_LINE, violations))
    }

    /// The same beside other options.
    pub(super) fn checked(&self, check: &mut Check) -> Option<String> {
        match &self.request_id {
            None => Some(Uuid::new_v4().simple().to_string()),
            Some(id) => check.field("--request-id", |check| {
                check.value(RequestId::new(id.as_str())).map(String::from)
            }),
        }
    }
}

/// One tenant.
pub(super) fn tenant(text: &str) -> Result<TenantId, Failure> {
    text.parse().map_err(|problem| Failure::argument("--tenant", problem))
}

/// Whose things a list shows: one tenant's, or everybody's where none is named.
pub(super) fn parent(given: Option<&str>) -> Result<String, Failure> {
    match given {
        None | Some(TenantId::EVERY) => Ok("tenants/-".to_owned()),
        Some(text) => Ok(format!("tenants/{}", tenant(text)?)),
    }
}

fn session(text: &str, given: Option<&str>) -> Result<SessionKey, Failure> {
    let wrong = |problem: String| Failure::argument("SESSION", problem);
    match text.split('/').collect::<Vec<_>>().as_slice() {
        ["tenants", tenant, "sessions", session] => Ok(SessionKey {
            tenant: tenant.parse().map_err(|error| wrong(format!("has a tenant that {error}")))?,
            session: session
                .parse()
                .map_err(|error| wrong(format!("has a session that {error}")))?,
        }),
        [id] => {
            let session: SessionId = id.parse().map_err(|error| wrong(format!("{error}")))?;
            let Some(given) = given.filter(|given| *given != TenantId::EVERY) else {
                return Err(wrong(format!("is {id:?}, which says nothing of its tenant")).next(format!(
                    "add --tenant TENANT, set SQUALL_TENANT, or write tenants/TENANT/sessions/{id}"
                )));
            };
            Ok(SessionKey { tenant: tenant(given)?, session })
        }
        _ => Err(wrong(format!("is {text:?}; allowed is an id, or tenants/TENANT/sessions/ID"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_takes_the_tenant_and_a_full_one_needs_none() {
        let named = |text, tenant| session(text, tenant).map(|key| key.to_string());
        assert_eq!(named("first", Some("acme")).unwrap(), "tenants/acme/sessions/first");
        assert_eq!(named("tenants/_fleet/sessions/a", None).unwrap(), "tenants/_fleet/sessions/a");
        assert_eq!(named("tenants/b/sessions/a", Some("acme")).unwrap(), "tenants/b/sessions/a");
    }

    #[test]
    fn a_short_name_without_a_tenant_says_what_to_do() {
        for tenant in [None, Some("-")] {
            let failure = session("first", tenant).unwrap_err();
            assert!(format!("{failure:?}").contains("SQUALL_TENANT"), "{failure:?}");
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for bad in [
            "",
            "a.b",
            "a*",
            "a/b",
            "tenants/a/sessions",
            "tenants/a.b/sessions/c",
            "tenants/a/sessions/>",
        ] {
            assert!(session(bad, Some("acme")).is_err(), "{bad:?} was accepted");
        }
        assert!(session("a", Some("b c")).is_err());
    }

    #[test]
    fn a_list_without_a_tenant_is_everybodys() {
        assert_eq!(parent(None).unwrap(), "tenants/-");
        assert_eq!(parent(Some("-")).unwrap(), "tenants/-");
        assert_eq!(parent(Some("acme")).unwrap(), "tenants/acme");
        assert!(parent(Some("a.b")).is_err());
    }
}
