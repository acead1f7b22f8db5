//! Creating sessions, once for each request id.

use std::sync::Arc;

use prost::Message;
use squall_domain::event::Hash;
use squall_proto::vocabulary::id::{RequestId, SessionId, SessionKey, TenantId};
use squall_proto::vocabulary::session::SessionSpec;
use squall_proto::vocabulary::violation::{Check, Violations};
use squall_proto::wire::v1;
use tonic::{Request, Response};

use super::{Sessions, caller, name};
use crate::api::errors::Error;
use crate::api::state;
use crate::engine::{Order, OrderKind};

/// Characters of an id that we make: no vowels, so that no words come out, and none that look like others.
const ALPHABET: &[u8; 24] = b"bcdfghjkmnpqrstvwxz23456";
/// Length of an id that we make: 24^12 are over 55 bits, so that 100,000 sessions clash once in ten million times.
const ID_LENGTH: usize = 12;

impl Sessions {
    pub(super) async fn create(
        &self,
        request: Request<v1::CreateSessionRequest>,
    ) -> Result<Response<v1::Session>, Error> {
        self.0.ready.check()?;
        let order = read(&request)?;
        let OrderKind::Create { key, .. } = &order.kind else {
            return Err(Error::Internal("a create became another order"));
        };
        let key = key.clone();
        state::order(&self.0.handle, order).await?;
        self.show(&key).await
    }
}

fn read(request: &Request<v1::CreateSessionRequest>) -> Result<Order, Error> {
    let v1::CreateSessionRequest { parent, session_id, spec, request_id } = request.get_ref();
    let mut check = Check::new();
    let owner = name::owner(&mut check, parent);
    let given_id = check.field("session_id", |check| match session_id.as_str() {
        "" => Some(None),
        id => check.value(id.parse::<SessionId>()).map(Some),
    });
    let checked = self::spec(&mut check, spec.as_ref());
    let request_id = caller::request_id(&mut check, request_id);
    let actor = caller::actor(request, &mut check);
    let tenant = owner.zip(radius(spec.as_ref()));
    let tenant = tenant.and_then(|(owner, radius)| log_tenant(&mut check, owner, radius));
    let read = tenant.zip(given_id).zip(checked).zip(request_id.zip(actor));
    let (((tenant, given_id), checked), (request, actor)) = check.finish(read)?;
    let session = given_id.unwrap_or_else(|| new_id(&tenant, &request));
    let key = SessionKey { tenant, session };
    let digest = digest(&key, spec.as_ref());
    Ok(Order { request, actor, kind: OrderKind::Create { key, spec: Arc::new(checked), digest } })
}

fn spec(check: &mut Check, spec: Option<&v1::SessionSpec>) -> Option<SessionSpec> {
    check.field("spec", |check| {
        let Some(spec) = spec else {
            check.wrong("is missing");
            return None;
        };
        SessionSpec::try_from(spec.clone())
            .map_err(|Violations(found)| {
                for violation in found {
                    match violation.field.as_str() {
                        "" => check.wrong(violation.problem),
                        field => check.field(field, |check| check.wrong(violation.problem)),
                    }
                }
            })
            .ok()
    })
}

/// The blast radius as it was given, so that the parent is checked whatever else is wrong. `None` where it isn't known.
fn radius(spec: Option<&v1::SessionSpec>) -> Option<v1::BlastRadius> {
    let given = spec.and_then(|spec| spec.safety.as_ref()?.blast_radius);
    v1::BlastRadius::try_from(given.unwrap_or_default()).ok()
}

/// Where the log keeps the session: under its tenant, or under `_fleet` when it spans tenants, whoever's parent was named.
fn log_tenant(check: &mut Check, owner: TenantId, radius: v1::BlastRadius) -> Option<TenantId> {
    match radius {
        v1::BlastRadius::MultiTenant => Some(TenantId::fleet()),
        v1::BlastRadius::Unspecified
        | v1::BlastRadius::SingleRequest
        | v1::BlastRadius::SingleAgent
        | v1::BlastRadius::SingleTrace
        | v1::BlastRadius::SingleTenant => {
            check.field("parent", |check| {
                check.require(!owner.is_fleet(), || {
                    "is tenants/_fleet, where only multi_tenant sessions live; allowed is the session's tenant".to_owned()
                });
            });
            (!owner.is_fleet()).then_some(owner)
        }
    }
}

/// The id of a session that was given none: the same for the same request, so that repeating it finds what it made.
fn new_id(tenant: &TenantId, request: &RequestId) -> SessionId {
    let mut hasher = blake3::Hasher::new_derive_key("squall 2026 session id");
    for part in [tenant.as_str(), request.as_str()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let id: String = hasher.finalize().as_bytes()[..ID_LENGTH * 2]
        .chunks_exact(2)
        .map(|pair| {
            let number = u16::from_le_bytes([pair[0], pair[1]]);
            char::from(ALPHABET[usize::from(number) % ALPHABET.len()])
        })
        .collect();
    SessionId::new(id).expect("twelve letters and digits are a token")
}

/// Hash of the request as it came: a repetition has the same, also after defaults have changed.
fn digest(key: &SessionKey, spec: Option<&v1::SessionSpec>) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("squall 2026 create digest");
    for part in [key.to_string().into_bytes(), spec.map(Message::encode_to_vec).unwrap_or_default()]
    {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(&part);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortest() -> v1::SessionSpec {
        v1::SessionSpec {
            experiments: vec![v1::ExperimentSpec {
                fault: Some(v1::FaultSpec {
                    latency: Some(v1::DelaySpec::default()),
                    ..v1::FaultSpec::default()
                }),
                ..v1::ExperimentSpec::default()
            }],
            safety: Some(v1::SafetySpec {
                max_affected_requests: Some(5),
                ..v1::SafetySpec::default()
            }),
            ..v1::SessionSpec::default()
        }
    }

    fn request(parent: &str, spec: v1::SessionSpec) -> Request<v1::CreateSessionRequest> {
        Request::new(v1::CreateSessionRequest {
            parent: parent.to_owned(),
            spec: Some(spec),
            request_id: "r1".to_owned(),
            ..v1::CreateSessionRequest::default()
        })
    }

    fn created(request: &Request<v1::CreateSessionRequest>) -> (SessionKey, Hash) {
        match read(request).unwrap().kind {
            OrderKind::Create { key, digest, .. } => (key, digest),
            OrderKind::Session { .. } | OrderKind::Engage { .. } | OrderKind::Release { .. } => {
                panic!("another order")
            }
        }
    }

    fn fields(request: &Request<v1::CreateSessionRequest>) -> Vec<String> {
        match read(request) {
            Err(Error::Invalid(Violations(found))) => {
                found.into_iter().map(|violation| violation.field).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_repeated_request_names_the_same_session() {
        let (key, digest) = created(&request("tenants/acme", shortest()));
        assert_eq!((key.clone(), digest), created(&request("tenants/acme", shortest())));
        assert_eq!(key.session.as_str().len(), ID_LENGTH);
        let other = created(&request("tenants/globex", shortest()));
        assert_ne!(other.0.session, key.session);
    }

    #[test]
    fn another_body_under_the_same_request_id_has_another_digest() {
        let before = created(&request("tenants/acme", shortest()));
        let changed = v1::SessionSpec { title: "another".to_owned(), ..shortest() };
        let after = created(&request("tenants/acme", changed));
        assert_eq!(before.0, after.0);
        assert_ne!(before.1, after.1);
    }

    #[test]
    fn a_session_over_tenants_lives_under_fleet_whoever_creates_it() {
        let mut spec = shortest();
        spec.safety.as_mut().unwrap().blast_radius = Some(v1::BlastRadius::MultiTenant.into());
        spec.target = Some(v1::TargetSpec {
            tenants: vec!["acme".to_owned(), "globex".to_owned()],
            ..v1::TargetSpec::default()
        });
        for parent in ["tenants/acme", "tenants/_fleet"] {
            assert!(created(&request(parent, spec.clone())).0.tenant.is_fleet());
        }
        assert_eq!(fields(&request("tenants/_fleet", shortest())), ["parent"]);
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let mut bad = shortest();
        bad.experiments[0].probability = Some(7.0);
        bad.safety = None;
        let mut request = request("tenants/-", bad);
        request.get_mut().session_id = "a b".to_owned();
        request.get_mut().request_id = "c d".to_owned();
        assert_eq!(
            fields(&request),
            [
                "parent",
                "session_id",
                "spec.experiments[0].probability",
                "spec.safety.max_affected_requests",
                "request_id",
            ]
        );
        request.get_mut().parent = "tenants/_fleet".to_owned();
        assert_eq!(fields(&request)[2..].last().map(String::as_str), Some("parent"));
        request.get_mut().spec = None;
        assert!(fields(&request).contains(&"spec".to_owned()));
    }
}
