//! One relay: a port that stands for another, for one node.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rand::RngExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Disturbance, Network, Node, Trouble, disturbances};

/// What is forwarded at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// A lost packet comes again after this time, or twice or four times that: TCP's shortest retransmissions on Linux.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// Of lost packets this share takes the connection along.
const RESETS: f64 = 0.02;

impl Network {
    /// A port on loopback behind which `from` finds `to`, which listens on `port`.
    ///
    /// # Errors
    /// When no port is free.
    pub(crate) async fn relay(&self, from: Node, to: Node, port: u16) -> Result<u16> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let own = listener.local_addr()?.port();
        let link = Link { from, to, troubles: self.troubles.subscribe() };
        tokio::spawn(async move {
            loop {
                // A connection that was gone before it was taken is nobody's.
                let Ok((caller, _)) = listener.accept().await else { continue };
                tokio::spawn(link.clone().carry(caller, port));
            }
        });
        Ok(own)
    }
}

/// One direction of a link.
#[derive(Clone)]
struct Link {
    from: Node,
    to: Node,
    troubles: watch::Receiver<Arc<Vec<Trouble>>>,
}

/// The connection is to be reset.
struct Reset;

impl Link {
    fn back(&self) -> Self {
        Self { from: self.to, to: self.from, troubles: self.troubles.clone() }
    }

    async fn carry(self, mut caller: TcpStream, port: u16) {
        let (up, down) = (self.clone(), self.back());
        if up.is_cut() || down.is_cut() {
            return reset(&caller);
        }
        let Ok(mut callee) = TcpStream::connect(("127.0.0.1", port)).await else {
            return reset(&caller);
        };
        // Without it we would gather what the sender didn't; a socket that is gone shows so when it is used.
        let _ = caller.set_nodelay(true).and(callee.set_nodelay(true));
        let broken = {
            let (caller_in, caller_out) = caller.split();
            let (callee_in, callee_out) = callee.split();
            tokio::select! {
                ended = up.clone().pump(caller_in, callee_out) => ended.is_err(),
                ended = down.clone().pump(callee_in, caller_out) => ended.is_err(),
                () = up.cut() => true,
                () = down.cut() => true,
            }
        };
        if broken {
            reset(&caller);
            reset(&callee);
        }
    }

    fn disturbances(&self) -> Vec<Disturbance> {
        disturbances(&self.troubles.borrow(), self.from, self.to)
    }

    fn is_cut(&self) -> bool {
        self.disturbances().contains(&Disturbance::Cut)
    }

    async fn cut(mut self) {
        while !self.is_cut() {
            if self.troubles.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Forwards until the sender's end. Who receives may be gone: the sender learns that from the other direction only.
    async fn pump(
        mut self,
        mut input: impl AsyncRead + Unpin,
        mut output: impl AsyncWrite + Unpin,
    ) -> Result<(), Reset> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut is_received = true;
        loop {
            let read = input.read(&mut chunk).await.map_err(|_: io::Error| Reset);
            // Also an end and a reset are only told where something passes.
            self.gate(read.as_ref().map_or(0, |read| *read)).await?;
            match read? {
                0 => return Ok(()),
                read if is_received => is_received = output.write_all(&chunk[..read]).await.is_ok(),
                _ => {}
            }
        }
    }

    /// Waits as long as what is to be sent has to wait.
    async fn gate(&mut self, bytes: usize) -> Result<(), Reset> {
        for disturbance in self.disturbances() {
            match disturbance {
                Disturbance::Frozen | Disturbance::Cut => {}
                Disturbance::Delayed(time) => {
                    sleep(time.mul_f64(rand::random_range(1.0..2.0))).await;
                }
                Disturbance::Lossy(share) => lost(share).await?,
                Disturbance::Throttled(rate) => {
                    sleep(Duration::from_secs_f64(bytes as f64 / f64::from(rate))).await;
                }
            }
        }
        // Last, so that nothing passes that waited for something else when it froze.
        while self.disturbances().contains(&Disturbance::Frozen) {
            self.troubles.changed().await.map_err(|_| Reset)?;
        }
        Ok(())
    }
}

async fn lost(share: f64) -> Result<(), Reset> {
    let mut wait = RETRANSMISSION;
    while rand::rng().random_bool(share) && wait <= RETRANSMISSION * 4 {
        if rand::rng().random_bool(RESETS) {
            return Err(Reset);
        }
        sleep(wait).await;
        wait *= 2;
    }
    Ok(())
}

/// The other side sees a reset instead of an end.
fn reset(stream: &TcpStream) {
    // One that is gone needs none.
    let _ = stream.set_zero_linger();
}
