//! From an accepted socket to a client's request: hello, TLS if the client wants it, request.

use std::io::{self, Cursor};
use std::sync::Arc;

use gateway_common::limits::MAX_HELLO;
use gateway_common::wire::{ClientHello, HelloReader, Progress};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::super::hello::is_plain;
use super::super::stream::{Duplex, Inlet};
use super::super::wire::{HEAD, REQUEST, Request, WireError};

/// A client that has asked.
pub(super) struct Greeted {
    pub(super) inlet: Inlet<ReadHalf<Box<dyn Duplex>>>,
    pub(super) writer: WriteHalf<Box<dyn Duplex>>,
    /// What it asked, or why that cannot be understood.
    pub(super) request: Result<Request, WireError>,
}

/// What the hello told.
struct Hello {
    plain: bool,
    /// Bytes read so far, of which the hello is the front.
    bytes: Vec<u8>,
    length: usize,
}

/// Reads everything up to the request; an error says why this is no client of ours.
pub(super) async fn greet(stream: TcpStream, tls: Arc<ServerConfig>) -> Result<Greeted, String> {
    let io = |error: io::Error| error.to_string();
    stream.set_nodelay(true).map_err(io)?;
    let (mut reader, writer) = stream.into_split();
    let mut hello = read_hello(&mut reader).await?;
    let stream: Box<dyn Duplex> = if hello.plain {
        let rest = hello.bytes.split_off(hello.length);
        Box::new(tokio::io::join(Cursor::new(rest).chain(reader), writer))
    } else {
        let stream = tokio::io::join(Cursor::new(hello.bytes).chain(reader), writer);
        let session = TlsAcceptor::from(tls).accept(stream).await;
        Box::new(session.map_err(|error| format!("TLS: {error}"))?)
    };
    let (reader, writer) = tokio::io::split(stream);
    let mut inlet = Inlet::new(reader, ROOM);
    let request = read_request(&mut inlet).await.map_err(io)?;
    Ok(Greeted {
        inlet,
        writer,
        request,
    })
}

/// One read; uploads are the larger part of what a server reads, see the client's own.
const ROOM: usize = 256 * 1024;

async fn read_hello(reader: &mut (impl tokio::io::AsyncRead + Unpin)) -> Result<Hello, String> {
    let mut hello = HelloReader::new(MAX_HELLO);
    let (mut bytes, mut scratch) = (Vec::with_capacity(FIRST_READ), Vec::new());
    loop {
        let need = match hello.advance(&bytes, &mut scratch) {
            Ok(Progress::Complete(found)) => {
                let (plain, length) = judge(&found);
                return Ok(Hello {
                    plain,
                    bytes,
                    length,
                });
            }
            Ok(Progress::Scratch { need }) => {
                scratch.resize(need, 0);
                continue;
            }
            Ok(Progress::Incomplete { need }) => need,
            Err(error) => return Err(error.to_string()),
        };
        while bytes.len() < need {
            let read = reader.read_buf(&mut bytes).await;
            if read.map_err(|error| error.to_string())? == 0 {
                return Err("closed before its hello was complete".to_owned());
            }
        }
    }
}

/// A post-quantum hello and the request behind it.
const FIRST_READ: usize = 4096;

fn judge(hello: &ClientHello<'_>) -> (bool, usize) {
    (is_plain(hello), hello.wire_len())
}

async fn read_request(
    inlet: &mut Inlet<ReadHalf<Box<dyn Duplex>>>,
) -> io::Result<Result<Request, WireError>> {
    let bytes = inlet.gather(HEAD).await?;
    if bytes.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "closed before its request",
        ));
    }
    let head = bytes.get(..HEAD).unwrap_or(bytes);
    if let Err(error @ (WireError::Foreign | WireError::Version(_))) = Request::decode(head) {
        return Ok(Err(error));
    }
    let bytes = inlet.gather(REQUEST).await?;
    let request = Request::decode(bytes.get(..REQUEST).unwrap_or(bytes));
    if request.is_ok() {
        inlet.consume(REQUEST);
    }
    Ok(request)
}
