//! What the engine does when the kernel half refuses: no kernel is asked here.

use std::os::fd::BorrowedFd;

use gateway_common::abi::splice::Stream;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::*;
use crate::word::Word;

const PATIENCE: Duration = Duration::from_secs(30);

/// More than the buffers of a path take.
const LENGTH: usize = 8 << 20;

/// A kernel half that takes no pair, or the endpoint's socket alone.
#[derive(Debug)]
struct Refusing {
    takes_upstream: bool,
    asked: Arc<Notify>,
}

impl Splicer for Refusing {
    fn join(
        &self,
        _client: BorrowedFd<'_>,
        _upstream: BorrowedFd<'_>,
        _terms: Terms<'_>,
    ) -> io::Result<Arc<dyn Splice>> {
        self.asked.notify_one();
        if self.takes_upstream {
            return Ok(Arc::new(Half::default()));
        }
        Err(io::ErrorKind::StorageFull.into())
    }
}

/// Nothing is ever redirected.
#[derive(Debug, Default)]
struct Half {
    told: Word,
}

impl Splice for Half {
    fn is_whole(&self) -> bool {
        false
    }

    fn stream(&self, _direction: Direction) -> io::Result<Stream> {
        Ok(Stream::default())
    }

    fn told_forwarded(&self, _direction: Direction) -> u64 {
        0
    }

    fn forwarded(&self, _direction: Direction, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn review(&self, _direction: Direction, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn hold(&self, _direction: Direction, _held: bool) -> io::Result<()> {
        Ok(())
    }

    fn be_patient(&self, _direction: Direction, _patient: bool) -> io::Result<()> {
        Ok(())
    }

    fn budget(&self, _direction: Direction) -> u32 {
        0
    }

    fn told(&self) -> &Word {
        &self.told
    }

    fn looked(&self, _direction: Direction, _noted: u64, _waiting: u64) {}

    fn waiting(&self, _direction: Direction) -> io::Result<u64> {
        Ok(0)
    }
}

async fn connection(address: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(address).await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(near, listener.accept());
    (near.unwrap(), far.unwrap().0)
}

fn bytes() -> Vec<u8> {
    (0_u32..).flat_map(u32::to_le_bytes).take(LENGTH).collect()
}

/// An upload to a server that reads once the kernel half was asked; how the engine ended, and what was
/// left to other engines.
async fn upload(address: &str, takes_upstream: bool) -> Run {
    let (mut client, mut accepted) = connection(address).await;
    let (mut upstream, mut server) = connection(address).await;
    // What waits in it is read into memory at once when the kernel half is asked.
    let little = SockRef::from(&accepted).set_recv_buffer_size(64 * 1024);
    little.unwrap();
    let asked = Arc::new(Notify::new());
    let splicer = Refusing {
        takes_upstream,
        asked: Arc::clone(&asked),
    };
    let (received, sent) = (AtomicU64::new(0), AtomicU64::new(0));
    let terms = Terms {
        datacenter: "",
        service: "",
        budget: 0,
        beyond: 0,
        most_send: None,
        most_window: None,
        owed: [0; 2],
    };
    let engine = async {
        let mut legs = Legs {
            client: &accepted,
            upstream: &upstream,
            first_bytes: Bytes::new(),
            prepended: 0,
            consumed: 0,
            repeatable: false,
            idle_timeout: PATIENCE * 2,
            half_close_timeout: PATIENCE * 2,
            rests_after: None,
            received: &received,
            sent: &sent,
        };
        let run = run(&mut legs, &splicer, || terms, |_splice| ()).await;
        if matches!(run, Run::Unfit(_)) {
            tokio::io::copy(&mut accepted, &mut upstream).await.unwrap();
            upstream.shutdown().await.unwrap();
        }
        run
    };
    let talk = async {
        let write = async {
            client.write_all(&bytes()).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let read = async {
            asked.notified().await;
            let mut arrived = Vec::new();
            server.read_to_end(&mut arrived).await.unwrap();
            server.shutdown().await.unwrap();
            arrived
        };
        tokio::join!(write, read).1
    };
    let both = async { tokio::join!(engine, talk) };
    let (run, arrived) = timeout(PATIENCE, both).await.unwrap();
    assert_eq!(arrived.len(), LENGTH);
    assert!(arrived == bytes(), "bytes changed on their way");
    run
}

#[tokio::test]
async fn bytes_that_are_held_when_the_kernel_refuses_arrive_before_the_rest() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let run = upload(address, false).await;
        assert!(matches!(run, Run::Unfit(_)), "{run:?}");
    }
}

#[tokio::test]
async fn a_client_that_the_kernel_refuses_is_copied() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let run = upload(address, true).await;
        let finished = matches!(
            run,
            Run::Stopped(Stop::Ended(End::Closed(CloseReason::Finished)))
        );
        assert!(finished, "{run:?}");
    }
}
