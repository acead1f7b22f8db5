//! `FleetService`: who is there, and the lever.

use std::time::Duration;

use futures::Stream;
use squall_domain::lever::Scope;
use squall_proto::vocabulary::id::{Holder, TenantId};
use squall_proto::vocabulary::violation::Check;
use squall_proto::wire::v1;
use squall_proto::wire::v1::fleet_service_server::FleetService;
use tokio::time::MissedTickBehavior;
use tonic::{Request, Response, Status};

use super::errors::Error;
use super::name::Parent;
use super::page::{self, List};
use super::watch::Until;
use super::{Doors, Streamed, caller, convert, name, sessions, state};
use crate::engine::{FleetView, HaltView, Order, OrderKind, ShimView};

/// Least time between two snapshots of the fleet: each looks at all shims and live sessions.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// The service over one replica.
#[derive(Clone)]
pub(super) struct Fleet(pub(super) Doors);

impl Fleet {
    async fn list(&self, request: v1::ListShimsRequest) -> Result<v1::ListShimsResponse, Error> {
        self.0.ready.check()?;
        let v1::ListShimsRequest { parent, page_size, page_token } = request;
        let list = List { kind: "shims", parent: &parent, filter: "" };
        let mut check = Check::new();
        let of = name::parent(&mut check, &parent);
        let size = page::size(&mut check, page_size);
        let cursor = list.cursor(&mut check, &page_token);
        let ((of, size), cursor) = check.finish(of.zip(size).zip(cursor))?;
        let (mut shims, FleetView { losses, .. }) = self.seen(&of).await?;
        // No part of a place holds a slash, so that the parts order as the shims do.
        let after = cursor.as_ref().map(|cursor| cursor.split('/').collect::<Vec<_>>());
        shims.retain(|shim| after.as_ref().is_none_or(|after| place(shim)[..] > after[..]));
        let more = shims.len() > size;
        shims.truncate(size);
        let last = shims.last().filter(|_| more).map(|shim| place(shim).join("/"));
        let next_page_token = last.map(|cursor| list.token(&cursor)).unwrap_or_default();
        let losses = Some(convert::fleet::losses(losses));
        Ok(v1::ListShimsResponse { shims, next_page_token, losses })
    }

    async fn seen(&self, of: &Parent) -> Result<(Vec<v1::Shim>, FleetView), Error> {
        let fleet = state::fleet(&self.0.handle, of.tenant()).await?;
        let permits = |view: &ShimView| {
            let (tenant, shim) = (view.tenant.clone(), view.shim.clone());
            let holder = Holder { tenant, shim, incarnation: view.hello.incarnation };
            fleet.open_permits.get(&holder).copied().unwrap_or(0)
        };
        let shims = fleet.shims.iter();
        Ok((shims.map(|shim| convert::fleet::shim(shim, permits(shim))).collect(), fleet))
    }

    async fn snapshot(&self, of: &Parent) -> Result<v1::FleetSnapshot, Error> {
        let (mut shims, FleetView { losses, log_damage, .. }) = self.seen(of).await?;
        if let Some(why) = log_damage {
            return Err(Error::LogDamaged(why));
        }
        let halts = state::halts(&self.0.handle).await?;
        let shim_count = shims.len() as u64;
        shims.truncate(page::SIZE_MAX);
        let now = std::time::SystemTime::now();
        Ok(v1::FleetSnapshot {
            time: Some(now.into()),
            shims,
            shim_count,
            halts: engaged(of, &halts),
            losses: Some(convert::fleet::losses(losses)),
        })
    }

    fn watch(
        &self,
        request: &Request<v1::WatchFleetRequest>,
    ) -> Result<impl Stream<Item = Result<v1::FleetSnapshot, Error>> + use<>, Error> {
        self.0.ready.check()?;
        let until = self.0.watcher(request.metadata())?;
        let mut check = Check::new();
        let of = name::parent(&mut check, &request.get_ref().parent);
        let of = check.finish(of)?;
        let mut ticks = tokio::time::interval(WATCH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watcher = Watcher { fleet: self.clone(), of, until, ticks, before: None, ended: false };
        Ok(futures::stream::unfold(watcher, async |mut watcher| {
            if watcher.ended {
                return None;
            }
            let next = watcher.next().await;
            watcher.ended = next.is_err();
            Some((next, watcher))
        }))
    }

    async fn halt(&self, scope: &Scope) -> Result<Response<v1::Halt>, Error> {
        let halts = state::halts(&self.0.handle).await?;
        Ok(Response::new(convert::fleet::halt(scope, &halts)))
    }

    async fn get(&self, request: v1::GetHaltRequest) -> Result<Response<v1::Halt>, Error> {
        self.0.ready.check()?;
        let mut check = Check::new();
        let scope = scope(&mut check, request.scope.as_ref());
        self.halt(&check.finish(scope)?).await
    }

    async fn pull<T>(
        &self,
        request: &Request<T>,
        fields: Fields<'_>,
        kind: impl FnOnce(Scope, String) -> OrderKind,
    ) -> Result<Response<v1::Halt>, Error> {
        self.0.ready.check()?;
        let mut check = Check::new();
        let scope = scope(&mut check, fields.scope);
        sessions::reason(&mut check, fields.reason);
        let id = caller::request_id(&mut check, fields.request_id);
        let actor = caller::actor(request, &mut check);
        let ((scope, id), actor) = check.finish(scope.zip(id).zip(actor))?;
        let kind = kind(scope.clone(), fields.reason.to_owned());
        state::order(&self.0.handle, Order { request: id, actor, kind }).await?;
        self.halt(&scope).await
    }
}

/// Where a shim stands in the list: processes of one name stand beside each other.
fn place(shim: &v1::Shim) -> [&str; 3] {
    [&shim.tenant, &shim.shim, &shim.incarnation]
}

/// What engaging and releasing have in common.
struct Fields<'a> {
    scope: Option<&'a v1::HaltScope>,
    reason: &'a str,
    request_id: &'a str,
}

/// Reads the field `scope`. Nobody halts the fleet by leaving something out.
fn scope(check: &mut Check, scope: Option<&v1::HaltScope>) -> Option<Scope> {
    use v1::halt_scope::Scope as Wire;
    check.field("scope", |check| match scope.and_then(|scope| scope.scope.as_ref()) {
        Some(Wire::All(v1::AllTenants {})) => Some(Scope::Fleet),
        Some(Wire::Tenant(tenant)) => check.field("tenant", |check| {
            let tenant = check.value(tenant.parse::<TenantId>())?;
            check.require(!tenant.is_fleet(), || {
                "is _fleet, which is no tenant; `all` halts everybody".to_owned()
            });
            (!tenant.is_fleet()).then_some(Scope::Tenant(tenant))
        }),
        None => {
            check.wrong("is missing; allowed is `tenant` or `all`");
            None
        }
    })
}

/// Halts that are engaged and that concern the watched tenants.
fn engaged(of: &Parent, halts: &[HaltView]) -> Vec<v1::Halt> {
    let concerns = |scope: &Scope| match (of, scope) {
        (Parent::All, _) | (_, Scope::Fleet) => true,
        (Parent::Tenant(of), Scope::Tenant(tenant)) => of == tenant,
    };
    halts
        .iter()
        .filter(|halt| halt.lever.engaged.is_some() && concerns(&halt.scope))
        .map(|halt| convert::fleet::halt(&halt.scope, halts))
        .collect()
}

/// One watcher of the fleet.
struct Watcher {
    fleet: Fleet,
    of: Parent,
    until: Until,
    ticks: tokio::time::Interval,
    before: Option<v1::FleetSnapshot>,
    ended: bool,
}

impl Watcher {
    /// The next snapshot that differs from the one before in more than time.
    async fn next(&mut self) -> Result<v1::FleetSnapshot, Error> {
        loop {
            tokio::select! {
                _ = self.ticks.tick() => {}
                error = self.until.over() => return Err(error),
            }
            let snapshot = self.fleet.snapshot(&self.of).await?;
            let timeless = timeless(snapshot.clone());
            if self.before.as_ref() != Some(&timeless) {
                self.before = Some(timeless);
                return Ok(snapshot);
            }
        }
    }
}

fn timeless(mut snapshot: v1::FleetSnapshot) -> v1::FleetSnapshot {
    snapshot.time = None;
    for shim in &mut snapshot.shims {
        shim.last_contact_ago = None;
    }
    snapshot
}

#[tonic::async_trait]
impl FleetService for Fleet {
    type WatchFleetStream = Streamed<v1::FleetSnapshot>;

    async fn list_shims(
        &self,
        request: Request<v1::ListShimsRequest>,
    ) -> Result<Response<v1::ListShimsResponse>, Status> {
        Ok(Response::new(self.list(request.into_inner()).await?))
    }

    async fn watch_fleet(
        &self,
        request: Request<v1::WatchFleetRequest>,
    ) -> Result<Response<Self::WatchFleetStream>, Status> {
        Ok(super::streamed(self.watch(&request)?))
    }

    async fn engage_halt(
        &self,
        request: Request<v1::EngageHaltRequest>,
    ) -> Result<Response<v1::Halt>, Status> {
        let v1::EngageHaltRequest { scope, reason, request_id } = request.get_ref();
        let fields = Fields { scope: scope.as_ref(), reason, request_id };
        Ok(self.pull(&request, fields, |scope, reason| OrderKind::Engage { scope, reason }).await?)
    }

    async fn release_halt(
        &self,
        request: Request<v1::ReleaseHaltRequest>,
    ) -> Result<Response<v1::Halt>, Status> {
        let v1::ReleaseHaltRequest { scope, reason, request_id } = request.get_ref();
        let fields = Fields { scope: scope.as_ref(), reason, request_id };
        Ok(self
            .pull(&request, fields, |scope, reason| OrderKind::Release { scope, reason })
            .await?)
    }

    async fn get_halt(
        &self,
        request: Request<v1::GetHaltRequest>,
    ) -> Result<Response<v1::Halt>, Status> {
        Ok(self.get(request.into_inner()).await?)
    }
}
