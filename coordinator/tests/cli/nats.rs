//! A nats-server that is set up as its owner likes, not as `squall dev` would; and one that is too old.

use std::env;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::program::{Folder, LOOK_EVERY, PATIENCE, ROOT, free_port, tethered};

/// A server with its folder.
#[derive(Debug)]
pub(crate) struct Nats {
    _process: Child,
    _folder: Folder,
    /// Where clients connect.
    pub(crate) url: String,
    /// Its monitoring port.
    pub(crate) monitoring: String,
}

impl Nats {
    /// Starts one with these settings of its JetStream.
    pub(crate) async fn start(jetstream: &str) -> Result<Self> {
        let folder = Folder::new()?;
        let (client, monitoring) = (free_port()?, free_port()?);
        let path = folder.path();
        let config = format!(
            "listen: 127.0.0.1:{client}\nhttp: 127.0.0.1:{monitoring}\nmax_payload: 1MB\n\
             jetstream {{ store_dir: \"{path}/store\", {jetstream} }}\n"
        );
        let file = format!("{path}/nats.conf");
        std::fs::write(&file, config)?;
        let mut command = Command::new(binary());
        command.args(["--config", &file, "--log", &format!("{path}/nats.log")]).kill_on_drop(true);
        let process = tethered(command).context("start nats-server; `make tools` fetches it")?;
        listens(client).await?;
        let url = |scheme: &str, port: u16| format!("{scheme}://127.0.0.1:{port}");
        let (url, monitoring) = (url("nats", client), url("http", monitoring));
        Ok(Self { _process: process, _folder: folder, url, monitoring })
    }
}

fn binary() -> String {
    let ours = format!("{ROOT}/.tools/nats-server");
    let installed = || if Path::new(&ours).is_file() { ours } else { "nats-server".to_owned() };
    env::var("SQUALL_NATS_SERVER").unwrap_or_else(|_| installed())
}

async fn listens(port: u16) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        ensure!(Instant::now() < until, "nats-server does not listen");
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Lets clients connect to something that says that it is a server of this version; tells where.
pub(crate) async fn of_version(version: &str) -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", free_port()?)).await?;
    let url = format!("nats://{}", listener.local_addr()?);
    let info = format!(
        "INFO {{\"server_id\":\"old\",\"server_name\":\"old\",\"version\":\"{version}\",\"proto\":1,\
         \"headers\":true,\"max_payload\":1048576,\"jetstream\":true}}\r\n"
    );
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await?;
            tokio::spawn(greet(client, info.clone()));
        }
        #[expect(unreachable_code, reason = "names the type of the errors above")]
        std::io::Result::Ok(())
    });
    Ok(url)
}

async fn greet(client: TcpStream, info: String) -> Result<()> {
    let (read, mut write) = client.into_split();
    write.write_all(info.as_bytes()).await?;
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        if line == "PING" {
            write.write_all(b"PONG\r\n").await?;
        }
    }
    bail!("the client is gone")
}
