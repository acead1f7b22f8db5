//! Connections: a bounded number of them, and whoever says nothing gives way to whoever comes, since an abort must get in.
//!
//! Not here: what is said on a connection, and pings to those who spoke ([`super::serve`]).

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Most connections at a time, if the system lets a process have twice as many descriptors: one for each watcher, and as
/// many again. A page of memory or ten each.
const CONNECTIONS_MAX: usize = 2048;
/// A peer that has not said what it speaks after this time is dropped: clients say so with their first packet.
const SPEAK_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of a client that has said so: HTTP/2's preface and the head of the frame that must follow it (RFC 9113, 3.4).
const PREFACE_BYTES: u64 = 24 + 9;
/// Time until the next try when the system has no descriptor: somebody has to close one first.
const PAUSE: Duration = Duration::from_millis(50);
/// Least time between two lines of the process's log about this.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Lets this process have as many open files as the system allows it: each connection is one.
pub fn allow_many_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::debug!(%error, "the limit of open files stays where it is");
    }
}

/// Half of the files that this process may have, for the log and the shims need some too.
fn connections_max() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files / 2).unwrap_or(CONNECTIONS_MAX).clamp(1, CONNECTIONS_MAX)
}

/// Connections of a listener, without Nagle's delay.
pub fn incoming(listener: TcpListener) -> impl Stream<Item = io::Result<Peer>> {
    bounded(listener, connections_max(), SPEAK_WITHIN)
}

fn bounded(
    listener: TcpListener,
    most: usize,
    speak_within: Duration,
) -> impl Stream<Item = io::Result<Peer>> {
    let door = Door { listener, seats: Seats::default(), most, speak_within, next: 0, told: None };
    futures::stream::unfold(door, async |mut door| Some((Ok(door.next().await), door)))
}

/// Where connections come in.
struct Door {
    listener: TcpListener,
    seats: Seats,
    most: usize,
    speak_within: Duration,
    next: u64,
    told: Option<Instant>,
}

impl Door {
    async fn next(&mut self) -> Peer {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return self.seat(stream),
                Err(error) => {
                    self.make_room(&error.to_string());
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn seat(&mut self, stream: TcpStream) -> Peer {
        if self.seats.locked().len() >= self.most {
            self.make_room("as many connections are open as may be");
        }
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps Nagle's delay");
        }
        self.next += 1;
        let seat = Arc::new(Seat::new());
        self.seats.locked().insert(self.next, Arc::clone(&seat));
        let asked_to_leave = Box::pin(seat.leave.clone().cancelled_owned());
        let overdue = Some(Box::pin(tokio::time::sleep(self.speak_within)));
        let place = Place { number: self.next, seats: self.seats.clone() };
        Peer { stream, seat, asked_to_leave, overdue, _place: place }
    }

    /// Asks the peer to leave that is silent for longest, first of all those that never spoke.
    fn make_room(&mut self, why: &str) {
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.told = Some(Instant::now());
            tracing::warn!(why, "the connection that is silent for longest is closed");
        }
        let mut seats = self.seats.locked();
        let silent = seats.iter().min_by_key(|(_, seat)| {
            let heard = seat.heard();
            (heard.has_spoken(), heard.at)
        });
        if let Some(number) = silent.map(|(number, _)| *number)
            && let Some(seat) = seats.remove(&number)
        {
            seat.leave.cancel();
        }
    }
}

/// Who is connected, in the order in which they came.
#[derive(Clone, Default)]
struct Seats(Arc<Mutex<BTreeMap<u64, Arc<Seat>>>>);

impl Seats {
    /// No lock is held while anything waits, and nothing panics under it.
    fn locked(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Seat>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of one connection.
struct Seat {
    heard: Mutex<Heard>,
    leave: CancellationToken,
}

/// What its peer sent.
#[derive(Clone, Copy)]
struct Heard {
    bytes: u64,
    /// When it sent the last of them, or connected.
    at: Instant,
}

impl Heard {
    const fn has_spoken(self) -> bool {
        self.bytes >= PREFACE_BYTES
    }
}

impl Seat {
    fn new() -> Self {
        let heard = Heard { bytes: 0, at: Instant::now() };
        Self { heard: Mutex::new(heard), leave: CancellationToken::new() }
    }

    fn heard(&self) -> Heard {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, bytes: usize) -> Heard {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.bytes = heard.bytes.saturating_add(bytes as u64);
        heard.at = Instant::now();
        *heard
    }
}

/// A place among the connections, until it is dropped.
struct Place {
    number: u64,
    seats: Seats,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.seats.locked().remove(&self.number);
    }
}

/// A connection that ends when it has to make room, and when it doesn't say what it speaks.
pub struct Peer {
    stream: TcpStream,
    seat: Arc<Seat>,
    asked_to_leave: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Until it has spoken.
    overdue: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl Connected for Peer {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.asked_to_leave.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 && self.seat.hear(bytes).has_spoken() {
            self.overdue = None;
        }
        let is_overdue =
            self.overdue.as_mut().is_some_and(|overdue| overdue.as_mut().poll(context).is_ready());
        if read.is_pending() && is_overdue {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    type Incoming = Pin<Box<dyn Stream<Item = io::Result<Peer>>>>;

    /// A listener with room for two.
    async fn two_seats(speak_within: Duration) -> (Incoming, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        (Box::pin(bounded(listener, 2, speak_within)), at)
    }

    /// Somebody connects, and what it says has arrived.
    async fn comes(door: &mut Incoming, at: SocketAddr, says: &[u8]) -> (TcpStream, Peer) {
        let (client, peer) = tokio::join!(TcpStream::connect(at), door.next());
        let (mut client, mut peer) = (client.unwrap(), peer.unwrap().unwrap());
        client.write_all(says).await.unwrap();
        peer.stream.readable().await.unwrap();
        peer.read_exact(&mut vec![0; says.len()]).await.unwrap();
        (client, peer)
    }

    const SPOKEN: [u8; 33] = [7; 33];

    #[tokio::test]
    async fn the_connection_that_never_spoke_makes_room_and_then_the_one_silent_for_longest() {
        let (mut door, at) = two_seats(SPEAK_WITHIN).await;
        let (_first, mut spoke_first) = comes(&mut door, at, &SPOKEN).await;
        let (_silent, mut silent) = comes(&mut door, at, b"PRI").await;
        let (mut third, mut spoke_third) = comes(&mut door, at, &SPOKEN).await;
        let gone = silent.read_u8().await.expect_err("it stayed");
        assert_eq!(gone.kind(), io::ErrorKind::ConnectionAborted);
        let (_fourth, _spoke_fourth) = comes(&mut door, at, &SPOKEN).await;
        let gone = spoke_first.read_u8().await.expect_err("it stayed");
        assert_eq!(gone.kind(), io::ErrorKind::ConnectionAborted);
        third.write_all(b"x").await.unwrap();
        assert_eq!(spoke_third.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn a_connection_that_ended_leaves_its_seat() {
        let (mut door, at) = two_seats(SPEAK_WITHIN).await;
        let (mut first, mut stays) = comes(&mut door, at, &SPOKEN).await;
        for _ in 0..5 {
            drop(comes(&mut door, at, &SPOKEN).await);
        }
        first.write_all(b"x").await.unwrap();
        assert_eq!(stays.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn who_does_not_say_what_it_speaks_is_dropped_and_who_did_may_be_silent() {
        let (mut door, at) = two_seats(Duration::ZERO).await;
        let (_spoke, mut spoke) = comes(&mut door, at, &SPOKEN).await;
        let (_silent, mut silent) = comes(&mut door, at, b"PRI").await;
        let overdue = silent.read_u8().await.expect_err("it stayed");
        assert_eq!(overdue.kind(), io::ErrorKind::TimedOut);
        assert!(futures::poll!(Box::pin(spoke.read_u8())).is_pending(), "it was dropped");
    }
}
