//! The main job with real shims on real NATS, checked by what the agents recorded themselves: one suite, on one replica over
//! one server and on three replicas over three servers.

mod budget;
mod house;
mod losses;
mod names;
mod stops;

/// Runs each scenario on both houses.
macro_rules! on_both_houses {
    ($($scenario:ident),+ $(,)?) => {
        mod one_replica_on_one_server {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $scenario() -> anyhow::Result<()> {
                    super::$scenario($crate::house::House::on_one_server().await?).await
                }
            )+
        }

        mod three_replicas_on_three_servers {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $scenario() -> anyhow::Result<()> {
                    super::$scenario($crate::house::House::on_three_servers().await?).await
                }
            )+
        }
    };
}
use on_both_houses;
