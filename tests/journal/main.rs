//! The journal on real NATS servers: its contract on one server and on three, and everything that only a real server does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod backend;
mod damage;
mod failover;
mod pitfalls;
mod refusals;
mod snapshots;

mod one_server {
    use crate::backend::on_one_server;

    squall::journal_contract!(on_one_server().await);
}

mod three_servers {
    use crate::backend::on_three_servers;

    squall::journal_contract!(on_three_servers().await);
}
