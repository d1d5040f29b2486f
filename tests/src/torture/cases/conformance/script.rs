//! What one side of a WebSocket sends, and the other therefore knows: texts, binary messages, and
//! messages in fragments, of all lengths that are a boundary somewhere.

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::stream::Stream as Bytes;

/// Lengths around the three forms of a frame's length, around a TLS record, and a large one.
pub(super) const LENGTHS: [usize; 14] = [
    0,
    1,
    124,
    125,
    126,
    127,
    16_383,
    16_384,
    16_385,
    65_534,
    65_535,
    65_536,
    65_537,
    1 << 20,
];

/// What is in a ping between the fragments of a message.
const BETWEEN: &str = "between";

/// What one side sends: known to the other by the seed.
#[derive(Clone, Copy)]
pub(super) struct Script {
    pub(super) seed: u64,
    pub(super) messages: usize,
}

/// What kind of message comes at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
    /// Binary, in three frames with a ping between them.
    Fragments,
}

impl Script {
    /// What kind and how long a message is.
    fn plan(self, n: usize) -> (Kind, usize) {
        let mut chance = fastrand::Rng::with_seed(self.seed ^ n as u64);
        let kind = [Kind::Text, Kind::Binary, Kind::Fragments][chance.usize(..3)];
        let length = match LENGTHS.get(n) {
            Some(length) => *length,
            None if chance.u8(..4) == 0 => LENGTHS[chance.usize(..LENGTHS.len())],
            None => chance.usize(..20_000),
        };
        (kind, length)
    }

    /// The bytes of a message: of its own stream, so that one in another's place is told.
    fn bytes(self, n: usize) -> Bytes {
        Bytes::new(self.seed.wrapping_add(n as u64))
    }

    /// The text of a message, in characters of one, two and three bytes.
    fn text(self, n: usize, length: usize) -> String {
        let mut chance = fastrand::Rng::with_seed(self.seed.wrapping_add(n as u64));
        let mut text = String::with_capacity(length);
        while text.len() < length {
            let room = length - text.len();
            let last = [0x7f, 0x7ff, 0xd7ff][room.min(3) - 1];
            text.push(char::from_u32(chance.u32(0x20..last)).unwrap_or('x'));
        }
        text
    }

    pub(super) async fn send<T>(self, sink: &mut T, n: usize) -> Result<()>
    where
        T: Sink<Message, Error = tungstenite::Error> + Unpin,
    {
        let (kind, length) = self.plan(n);
        match kind {
            Kind::Text => sink.send(Message::text(self.text(n, length))).await?,
            Kind::Binary => {
                let bytes = self.bytes(n).bytes(0, length);
                sink.send(Message::binary(bytes)).await?;
            }
            Kind::Fragments => {
                let bytes = self.bytes(n).bytes(0, length);
                let (first, rest) = bytes.split_at(length / 3);
                let (second, third) = rest.split_at(rest.len() / 2);
                let fragment = |bytes: &[u8], data, last| {
                    Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(data), last))
                };
                sink.feed(fragment(first, Data::Binary, false)).await?;
                sink.feed(Message::Ping(BETWEEN.into())).await?;
                sink.feed(fragment(second, Data::Continue, false)).await?;
                sink.send(fragment(third, Data::Continue, true)).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn receive<T>(self, stream: &mut T, n: usize) -> Result<()>
    where
        T: Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
    {
        let (kind, length) = self.plan(n);
        let message = next(stream).await?;
        match (kind, &message) {
            (Kind::Text, Message::Text(text)) => {
                ensure!(
                    text.as_str() == self.text(n, length),
                    "message {n}: another text"
                );
            }
            (Kind::Binary | Kind::Fragments, Message::Binary(bytes)) => {
                ensure!(
                    bytes.len() == length,
                    "message {n}: {} bytes, not {length}",
                    bytes.len()
                );
                let right = self.bytes(n).check(0, bytes);
                right.map_err(|spoiled| anyhow::anyhow!("message {n}: {spoiled}"))?;
            }
            _ => bail!("message {n}: {kind:?} was due, {} came", told(&message)),
        }
        Ok(())
    }
}

/// The next message that is not of a ping between fragments.
pub(super) async fn next<T>(stream: &mut T) -> Result<Message>
where
    T: Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
{
    loop {
        let next = stream.next().await.context("the connection has ended")?;
        match next.context("cannot read a message")? {
            // RFC 6455 lets a side answer the last of several pings alone: how many come is not checked.
            Message::Ping(payload) | Message::Pong(payload) if payload == BETWEEN => {}
            message => return Ok(message),
        }
    }
}

/// A message in a few words.
pub(super) fn told(message: &Message) -> String {
    let kind = match message {
        Message::Text(_) => "text",
        Message::Binary(_) => "binary",
        Message::Ping(_) => "ping",
        Message::Pong(_) => "pong",
        Message::Close(_) => "close",
        Message::Frame(_) => "frame",
    };
    format!("{kind} of {} bytes", message.len())
}
