//! The fleet as a person sees it.

use anyhow::Result;

use crate::program::Dev;
use crate::shim::Shim;

#[tokio::test]
async fn processes_of_one_name_are_lines_of_their_own_with_the_way_to_name_them() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    let _one = Shim::named(dev.nats_url(), "vm", 1).await?;
    let alone = dev.squall(&["fleet"]).await?.done()?;
    assert!(alone.contains("acme/vm") && !alone.contains("SQUALL_SHIM"), "{alone}");
    let _two = Shim::named(dev.nats_url(), "vm", 2).await?;
    let both = dev.squall(&["fleet"]).await?.done()?;
    assert!(both.contains("acme/vm  01010101") && both.contains("acme/vm  02020202"), "{both}");
    assert!(both.contains("SQUALL_SHIM") && both.ends_with("2 of acme/vm\n"), "{both}");
    dev.done().await
}
