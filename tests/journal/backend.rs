//! Logs on servers that all tests of this binary share, each in an account of its own.

use std::sync::Arc;

use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use squall::journal::Journal;
use squall::journal::contract::{Backend, Repeated};
use squall::journal::jetstream::{Address, JetStream, Settings, Witness};
use squall_proto::subject::{LOG_STREAM, SNAPSHOTS_BUCKET, Subject};
use squall_tests::nats::{self, Cluster, Options, Server};
use tokio::sync::OnceCell;

/// A log in an account of its own.
pub(crate) struct Real {
    urls: Vec<String>,
    system: String,
    replicas: usize,
}

/// A server that syncs always, for tests that never harm it.
pub(crate) async fn one_server() -> &'static Server {
    static SERVER: OnceCell<Server> = OnceCell::const_new();
    // One account for each test that stands on it, and some room.
    let options = Options { sync_always: true, accounts: 64, ..Options::default() };
    SERVER.get_or_init(|| async move { Server::start(&options).await.unwrap() }).await
}

/// A cluster with NATS' default of syncing every two minutes, for tests that never harm it.
pub(crate) async fn three_servers() -> &'static Cluster {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    CLUSTER.get_or_init(|| async { Cluster::start(&Options::default()).await.unwrap() }).await
}

pub(crate) async fn on_one_server() -> Real {
    let server = one_server().await;
    let urls = vec![server.account_url(server.take_account())];
    Real { urls, system: server.system_url(), replicas: 1 }
}

pub(crate) async fn on_three_servers() -> Real {
    let cluster = three_servers().await;
    on_cluster(cluster, cluster.take_account())
}

pub(crate) fn on_cluster(cluster: &Cluster, account: usize) -> Real {
    let urls = cluster.account_urls(account);
    Real { urls, system: cluster.servers()[0].system_url(), replicas: 3 }
}

impl Real {
    /// Settings with little room, so that many accounts fit on one disk.
    pub(crate) fn settings(&self) -> Settings {
        let system = Some(Address::of([self.system.clone()]));
        Settings {
            replicas: self.replicas,
            witness: Witness { system, monitoring: Vec::new() },
            evidence_bytes_max: 16 << 20,
            snapshots_bytes_max: 64 << 20,
            ..Settings::new(Address::of(self.urls.clone()))
        }
    }

    pub(crate) async fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(JetStream::open(self.settings()).await.unwrap())
    }

    /// What a test does behind the journal's back.
    pub(crate) async fn raw(&self) -> Context {
        jetstream::new(nats::connect(self.urls.clone()).await.unwrap())
    }

    async fn delete_consumers(&self) {
        let stream = self.raw().await.get_stream(LOG_STREAM).await.unwrap();
        let names: Vec<_> = stream.consumer_names().collect().await;
        for name in names {
            // One that went by itself is as good.
            let _ = stream.delete_consumer(&name.unwrap()).await;
        }
    }

    async fn change_a_chunk(&self) {
        let bucket = self.raw().await.get_key_value(SNAPSHOTS_BUCKET).await.unwrap();
        let keys: Vec<_> = bucket.keys().await.unwrap().collect().await;
        let chunk = keys.into_iter().map(Result::unwrap).find(|key| key != "manifest").unwrap();
        let mut bytes = bucket.get(&chunk).await.unwrap().unwrap().to_vec();
        bytes[1000] ^= 1;
        bucket.put(&chunk, bytes.into()).await.unwrap();
    }
}

impl Backend for Real {
    fn open(&self, log_bytes_max: Option<usize>) -> BoxFuture<'_, Arc<dyn Journal>> {
        let log_bytes_max = log_bytes_max.map(|bytes| bytes as u64);
        let settings = Settings { log_bytes_max, ..self.settings() };
        let open = JetStream::open(settings);
        open.map(|journal| Arc::new(journal.unwrap()) as Arc<dyn Journal>).boxed()
    }

    fn lose_consumers(&self) -> BoxFuture<'_, ()> {
        self.delete_consumers().boxed()
    }

    fn publish_evidence(&self, subject: Subject, bytes: Bytes) -> BoxFuture<'_, ()> {
        async move {
            let client = self.raw().await.client();
            client.publish(subject.to_string(), bytes).await.unwrap();
            client.flush().await.unwrap();
        }
        .boxed()
    }

    fn damage_snapshot(&self) -> BoxFuture<'_, ()> {
        self.change_a_chunk().boxed()
    }

    fn repeated(&self) -> Repeated {
        if self.replicas == 1 { Repeated::Conflict } else { Repeated::Duplicate }
    }

    fn replicas(&self) -> usize {
        self.replicas
    }
}
