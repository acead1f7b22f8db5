//! Lists and their pages.

use anyhow::{Context, Result};
use squall_proto::wire::v1;
use squall_tests::speaker::Speaker;
use tonic::Code;

use crate::house::{House, list, refused, spec};

fn names(page: &v1::ListSessionsResponse) -> Vec<&str> {
    page.sessions.iter().map(|session| session.name.rsplit('/').next().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_newest_first_in_pages_that_miss_and_repeat_none() -> Result<()> {
    let mut house = House::open().await?;
    // Their order by name is another one than by age.
    for id in ["m", "a", "z", "b", "k"] {
        house.create(id, spec(5)).await?;
    }
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListSessionsRequest { page_size: 2, page_token, ..list("tenants/acme") };
        let page = house.sessions.list_sessions(request).await?.into_inner();
        assert!(page.sessions.len() <= 2);
        seen.extend(names(&page).into_iter().map(str::to_owned));
        // A session that comes meanwhile belongs to no later page.
        house.create(&format!("new-{}", seen.len()), spec(5)).await?;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["k", "b", "z", "a", "m"]);
    let elsewhere = house.sessions.list_sessions(list("tenants/globex")).await?.into_inner();
    assert!(elsewhere.sessions.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_shows_states_and_a_token_fits_only_its_own_list() -> Result<()> {
    let mut house = House::open().await?;
    for id in ["one", "two", "three"] {
        house.create(id, spec(5)).await?;
    }
    house.abort("tenants/acme/sessions/two").await?;
    let drafts = |page_token: &str, filter: &str| v1::ListSessionsRequest {
        page_size: 1,
        page_token: page_token.to_owned(),
        filter: filter.to_owned(),
        ..list("tenants/acme")
    };
    let page = house.sessions.list_sessions(drafts("", "state = DRAFT")).await?.into_inner();
    assert_eq!(names(&page), ["three"]);
    let token = page.next_page_token;
    let page = house.sessions.list_sessions(drafts(&token, "state = DRAFT")).await?.into_inner();
    assert_eq!((names(&page), page.next_page_token.as_str()), (vec!["one"], ""));
    for (token, filter) in [(token.as_str(), ""), ("garbled", "state = DRAFT")] {
        let refusal = refused(house.sessions.list_sessions(drafts(token, filter)).await);
        assert_eq!(
            (refusal.code, refusal.fields()),
            (Code::InvalidArgument, vec!["page_token".to_owned()])
        );
    }
    let wrong = v1::ListSessionsRequest {
        page_size: -1,
        page_token: "x".to_owned(),
        filter: "colour = red".to_owned(),
        parent: "acme".to_owned(),
    };
    let refusal = refused(house.sessions.list_sessions(wrong).await);
    assert_eq!(refusal.fields(), ["parent", "page_size", "filter", "page_token"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn shims_are_listed_by_tenant_and_name_with_what_they_hold() -> Result<()> {
    let mut house = House::open().await?;
    let first = Speaker::join(&house.site, "acme", 1).await?;
    let _second = Speaker::join(&house.site, "acme", 2).await?;
    let _third = Speaker::join(&house.site, "globex", 1).await?;
    let session = house.create("main", spec(5)).await?;
    house.start(&session.name).await?;
    let key = squall_proto::vocabulary::id::SessionKey {
        tenant: "acme".parse()?,
        session: "main".parse()?,
    };
    first.permit(&key).await?;
    let request =
        v1::ListShimsRequest { parent: "tenants/-".to_owned(), page_size: 2, ..Default::default() };
    let page = house.fleet.list_shims(request.clone()).await?.into_inner();
    let shown = |page: &v1::ListShimsResponse| -> Vec<(String, String, u64)> {
        page.shims.iter().map(|s| (s.tenant.clone(), s.shim.clone(), s.open_permits)).collect()
    };
    let row = |tenant: &str, shim: &str, permits| (tenant.to_owned(), shim.to_owned(), permits);
    assert_eq!(shown(&page), [row("acme", "shim-1", 1), row("acme", "shim-2", 0)]);
    let next = v1::ListShimsRequest { page_token: page.next_page_token, ..request };
    let page = house.fleet.list_shims(next).await?.into_inner();
    assert_eq!(shown(&page), [row("globex", "shim-1", 0)]);
    let shim = page.shims.first().context("no shim")?;
    assert_eq!(
        (shim.environment.as_str(), shim.seams.len(), shim.allowed_kinds.len()),
        ("ci", 1, 6)
    );
    let site = v1::Site { agent: 0, tool: 0, seam: 0 };
    assert_eq!((shim.sites.as_slice(), shim.max_delay_ms), (&[site][..], 60_000));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_experiment_is_listed_with_its_parameters() -> Result<()> {
    let mut house = House::open().await?;
    let types = house.sessions.list_experiment_types(v1::ListExperimentTypesRequest {}).await?;
    let types = types.into_inner().types;
    assert_eq!(types.len(), 6);
    for kind in types {
        assert!(!kind.parameters.is_empty() && !kind.stands_for.is_empty(), "{}", kind.name);
    }
    Ok(())
}
