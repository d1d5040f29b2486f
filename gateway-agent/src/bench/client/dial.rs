//! From an address to a connection that a bench server has answered on.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection};
use tokio::io::{AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::error::Error;
use super::super::hello::{Shape, mark_plain};
use super::super::stream::{Duplex, Inlet};
use super::super::wire::{ANSWER, Answer, GO, HEAD, Request, WireError, Word};
use crate::sys::tcp;

/// Where to, and how the hello looks.
pub(super) struct Target {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) name: ServerName<'static>,
    pub(super) shape: Shape,
    pub(super) config: Arc<ClientConfig>,
    pub(super) tls: bool,
    pub(super) timeout: Duration,
}

/// A connection whose server has said yes.
pub(super) struct Line {
    pub(super) inlet: Inlet<ReadHalf<Box<dyn Duplex>>>,
    pub(super) writer: WriteHalf<Box<dyn Duplex>>,
    pub(super) address: SocketAddr,
    pub(super) request: Request,
    pub(super) hello_bytes: usize,
    pub(super) tcp: Duration,
    pub(super) answer: Duration,
    /// The socket once more, for its counters, where a mode wants them.
    socket: Option<OwnedFd>,
}

/// What a line is dialled for.
pub(super) struct Purpose {
    pub(super) request: Request,
    /// Bytes of one read.
    pub(super) room: usize,
    /// Whether the server may begin at once.
    pub(super) at_once: bool,
    /// Whether retransmissions will be asked for, which costs a descriptor.
    pub(super) counted: bool,
}

impl Target {
    fn name(&self) -> String {
        self.name.to_str().into_owned()
    }

    /// Dials until an address answers.
    pub(super) async fn dial(&self, purpose: &Purpose) -> Result<Line, Error> {
        let begun = Instant::now();
        let (stream, address) = self.connect().await?;
        let tcp = begun.elapsed();
        let socket = purpose.counted.then(|| stream.as_fd().try_clone_to_owned());
        let socket = socket.transpose().map_err(|error| Error::Local {
            doing: "copy a descriptor",
            error,
        })?;
        let answered = timeout(self.timeout, self.greet(stream, purpose)).await;
        let silent = |_elapsed| Error::Silent {
            name: self.name(),
            waited: self.timeout,
        };
        let (inlet, writer, hello_bytes) = answered.map_err(silent)??;
        Ok(Line {
            inlet,
            writer,
            address,
            request: purpose.request,
            hello_bytes,
            tcp,
            answer: begun.elapsed(),
            socket,
        })
    }

    async fn connect(&self) -> Result<(TcpStream, SocketAddr), Error> {
        let mut last = None;
        for &address in &self.addresses {
            let connected = timeout(self.timeout, TcpStream::connect(address)).await;
            let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            match connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
                Ok(stream) => return Ok((stream, address)),
                Err(error) => last = Some(Error::Connect { address, error }),
            }
        }
        Err(last.unwrap_or_else(|| Error::Setting("no address to dial".to_owned())))
    }

    /// Sends hello and request, reads the answer.
    async fn greet(
        &self,
        stream: TcpStream,
        purpose: &Purpose,
    ) -> Result<
        (
            Inlet<ReadHalf<Box<dyn Duplex>>>,
            WriteHalf<Box<dyn Duplex>>,
            usize,
        ),
        Error,
    > {
        let (stream, hello_bytes) = if self.tls {
            self.start_tls(stream).await?
        } else {
            self.start_plain(stream).await?
        };
        let (reader, mut writer) = tokio::io::split(stream);
        let mut inlet = Inlet::new(reader, purpose.room);
        let mut request = purpose.request.encode();
        if purpose.at_once {
            request.push(GO);
        }
        let sent = async {
            writer.write_all(&request).await?;
            writer.flush().await
        };
        // A refusal may be on its way already and tells more than the broken pipe.
        let sent = sent.await;
        self.read_answer(&mut inlet, purpose.request.nonce, sent)
            .await?;
        Ok((inlet, writer, hello_bytes))
    }

    async fn start_plain(&self, mut stream: TcpStream) -> Result<(Box<dyn Duplex>, usize), Error> {
        let wrong = |error: rustls::Error| Error::Tls(error.to_string());
        let config = Arc::clone(&self.config);
        let mut connection = ClientConnection::new(config, self.name.clone()).map_err(wrong)?;
        let mut hello = Vec::new();
        let written = connection.write_tls(&mut hello);
        written.map_err(|error| Error::Tls(error.to_string()))?;
        if !mark_plain(&mut hello) {
            return Err(Error::Tls(
                "the hello has no session id: nothing to mark".to_owned(),
            ));
        }
        let sent = self.send_hello(&mut stream, &hello).await;
        sent.map_err(|error| self.broken(&error))?;
        Ok((Box::new(stream), hello.len()))
    }

    async fn start_tls(&self, stream: TcpStream) -> Result<(Box<dyn Duplex>, usize), Error> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let mut hello = Vec::new();
        let mut taken = Ok(0);
        let mut connecting = connector.connect_with(self.name.clone(), stream, |connection| {
            taken = connection.write_tls(&mut hello);
        });
        taken.map_err(|error| Error::Tls(error.to_string()))?;
        // Sent by us and not by the session, so that it goes out in our pieces.
        if let Some(stream) = connecting.get_mut() {
            let sent = self.send_hello(stream, &hello).await;
            sent.map_err(|error| self.broken(&error))?;
        }
        let session = connecting.await.map_err(|error| self.broken(&error))?;
        Ok((Box::new(session), hello.len()))
    }

    async fn send_hello(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        hello: &[u8],
    ) -> io::Result<()> {
        for piece in self.shape.pieces(hello) {
            stream.write_all(&piece).await?;
        }
        Ok(())
    }

    async fn read_answer(
        &self,
        inlet: &mut Inlet<ReadHalf<Box<dyn Duplex>>>,
        nonce: u64,
        sent: io::Result<()>,
    ) -> Result<(), Error> {
        let ended = inlet.gather(HEAD).await.err();
        let bytes = inlet.bytes();
        if bytes.is_empty() {
            // The first error tells most; without one, the end came in order.
            let error = ended.or_else(|| sent.err());
            return Err(error.map_or_else(|| self.unanswered(false), |error| self.broken(&error)));
        }
        let head = bytes.get(..HEAD).unwrap_or(bytes);
        if Answer::decode(head) == Err(WireError::Foreign) {
            return Err(self.foreign(bytes));
        }
        if let Err(error @ WireError::Version(_)) = Answer::decode(head) {
            return Err(error.into());
        }
        let bytes = inlet.gather(ANSWER).await;
        let bytes = bytes.map_err(|error| self.broken(&error))?;
        let answer = Answer::decode(bytes.get(..ANSWER).unwrap_or(bytes))?;
        inlet.consume(ANSWER);
        if answer.nonce != nonce {
            return Err(Error::Wire(WireError::Damaged("nonce of the answer")));
        }
        match answer.word {
            Word::Yes => Ok(()),
            Word::No(limit) => Err(Error::Limit(limit)),
        }
    }

    /// What it means that a connection broke before its answer.
    fn broken(&self, error: &io::Error) -> Error {
        let inner = error.get_ref();
        match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) => Error::alert(&self.name(), *alert),
            Some(rustls::Error::InvalidMessage(_)) => Error::NotBench {
                name: self.name(),
                saw: "what is no TLS".to_owned(),
            },
            Some(rustls::Error::InvalidCertificate(why)) => Error::Tls(format!(
                "the certificate of {} is not good under --ca: {why:?}; is the server started \
                 with --name {}, and the file what its --ca-out wrote?",
                self.name(),
                self.name()
            )),
            Some(other) => Error::Tls(other.to_string()),
            None => self.unanswered(error.kind() != io::ErrorKind::UnexpectedEof),
        }
    }

    fn unanswered(&self, reset: bool) -> Error {
        Error::NoAnswer {
            name: self.name(),
            reset,
        }
    }

    /// What answered, if it is no bench server: an alert of the gateway, or something else.
    fn foreign(&self, bytes: &[u8]) -> Error {
        let name = self.name();
        let saw = match bytes {
            [21, 3, _, 0, 2, _, alert, ..] => {
                return Error::alert(&name, AlertDescription::from(*alert));
            }
            [20..=24, 3, ..] => "TLS, as an ordinary server does".to_owned(),
            other => {
                let shown = other.get(..MOST_SHOWN).unwrap_or(other);
                format!("\"{}\"", shown.escape_ascii())
            }
        };
        Error::NotBench { name, saw }
    }
}

const MOST_SHOWN: usize = 32;

impl Line {
    /// Tells the server to begin.
    pub(super) async fn go(&mut self) -> io::Result<()> {
        self.writer.write_all(&[GO]).await?;
        self.writer.flush().await
    }

    /// Segments that this host's kernel sent again.
    pub(super) fn retransmits(socket: Option<&OwnedFd>) -> u32 {
        socket
            .and_then(|socket| tcp::info(socket).ok())
            .map_or(0, |info| info.retransmissions)
    }

    pub(super) fn take_socket(&mut self) -> Option<OwnedFd> {
        self.socket.take()
    }

    /// Lets the server close first: the port that waits for stray segments is then the server's
    /// one, and not one of the few of this host.
    pub(super) async fn close(mut self) {
        self.inlet.discard(CLOSE).await;
    }
}

/// How long a server may take to close after the last word.
const CLOSE: Duration = Duration::from_secs(1);
