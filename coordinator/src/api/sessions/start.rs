//! Starting sessions, with time for shims to come.

use std::time::Duration;

use squall_domain::rejection::{Rejection, Unmet};
use squall_domain::session::ClientCommand;
use squall_proto::vocabulary::violation::Violations;
use squall_proto::wire::time::duration;
use squall_proto::wire::v1;
use tokio::time::Instant;
use tonic::{Request, Response};

use super::{Fields, Sessions, read};
use crate::api::errors::Error;
use crate::api::state;
use crate::engine::{Order, OrderError, OrderKind};

/// Longest wait for shims: an agent that takes longer to come is not on its way.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// How often the start is tried again: shims say Hello within 2 s of a roll call.
const TRY_EVERY: Duration = Duration::from_millis(250);

impl Sessions {
    pub(super) async fn start(
        &self,
        request: Request<v1::StartSessionRequest>,
    ) -> Result<Response<v1::Session>, Error> {
        self.0.ready.check()?;
        let v1::StartSessionRequest { name, request_id, wait_for_shims } = request.get_ref();
        let wait = wait(wait_for_shims.as_ref());
        let order = read(&request, &Fields { name, request_id }, ClientCommand::Start);
        let (wait, order) = both(wait, order)?;
        let OrderKind::Session { key, .. } = &order.kind else {
            return Err(Error::Internal("a start became another order"));
        };
        let key = key.clone();
        self.patiently(order, Instant::now() + wait).await?;
        self.show(&key).await
    }

    /// Tries again while no shim can apply an experiment. The request id makes sure that it starts once.
    async fn patiently(&self, order: Order, until: Instant) -> Result<(), Error> {
        loop {
            match state::order(&self.0.handle, order.clone()).await {
                Err(Error::Order {
                    source: OrderError::Rejected(Rejection::Unmet(unmet)), ..
                }) if Instant::now() < until && unmet.iter().all(shims_may_mend) => {}
                other => return other,
            }
            tokio::select! {
                () = tokio::time::sleep(TRY_EVERY) => {}
                () = self.0.draining.cancelled() => {
                    return Err(Error::NotReady("the coordinator is shutting down".to_owned()));
                }
            }
        }
    }
}

fn shims_may_mend(unmet: &Unmet) -> bool {
    match unmet {
        Unmet::Inapplicable(_) => true,
        Unmet::Halted { .. } | Unmet::LazyLog => false,
    }
}

fn wait(wait: Option<&prost_types::Duration>) -> Result<Duration, Violations> {
    let Some(wait) = wait else { return Ok(Duration::ZERO) };
    match duration(wait) {
        Some(wait) if wait <= WAIT_MAX => Ok(wait),
        Some(_) | None => {
            let problem =
                format!("is {} s; allowed is 0 to {} s", wait.seconds, WAIT_MAX.as_secs());
            Err(Violations::one("wait_for_shims", problem))
        }
    }
}

/// Both values, or all violations of both.
fn both<A, B>(a: Result<A, Violations>, b: Result<B, Error>) -> Result<(A, B), Error> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(Violations(mut found)), Err(Error::Invalid(Violations(more)))) => {
            found.splice(0..0, more);
            Err(Error::Invalid(Violations(found)))
        }
        (Err(violations), Ok(_)) => Err(violations.into()),
        (_, Err(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_bounded_and_never_negative() {
        let of = |seconds| wait(Some(&prost_types::Duration { seconds, nanos: 0 }));
        assert_eq!(of(30), Ok(Duration::from_secs(30)));
        assert!(of(301).is_err() && of(-1).is_err() && of(i64::MAX).is_err());
        let overflows = prost_types::Duration { seconds: i64::MIN, nanos: -999_999_999 };
        assert!(wait(Some(&overflows)).is_err());
        assert_eq!(wait(None), Ok(Duration::ZERO));
    }

    #[test]
    fn a_wrong_wait_and_a_wrong_name_are_named_together() {
        let request = Request::new(v1::StartSessionRequest::default());
        let fields = Fields { name: "x", request_id: "" };
        let order = read(&request, &fields, ClientCommand::Start);
        let wait = wait(Some(&prost_types::Duration { seconds: -1, nanos: 0 }));
        let Err(Error::Invalid(Violations(found))) = both(wait, order) else { panic!("accepted") };
        let fields: Vec<_> = found.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["name", "wait_for_shims"]);
    }
}
