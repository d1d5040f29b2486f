//! Messages as gRPC has them on a stream of HTTP/2: a length before each, sent as fast as the windows
//! allow, and checked where they arrive.

use std::future::poll_fn;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use gateway_tests::wait;
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;

use crate::stream::Stream;

/// Bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The length of the next message of a stream.
fn length(chance: &mut fastrand::Rng) -> usize {
    match chance.u8(..20) {
        0 => 0,
        1 => chance.usize(16_370..16_400),
        2 => chance.usize(65_500..65_600),
        _ => chance.usize(..2000),
    }
}

/// Sends so many messages of a seed, as fast as the other side's windows allow.
pub(super) async fn send(sender: &mut SendStream<Bytes>, seed: u64, messages: usize) -> Result<()> {
    let stream = Stream::new(seed);
    let (mut chance, mut offset) = (fastrand::Rng::with_seed(seed), 0);
    for _ in 0..messages {
        let length = length(&mut chance);
        let mut message = BytesMut::with_capacity(PREFIX + length);
        message.put_u8(0);
        message.put_u32(u32::try_from(length)?);
        message.put_slice(&stream.bytes(offset, length));
        offset += length as u64;
        let mut message = message.freeze();
        while !message.is_empty() {
            sender.reserve_capacity(message.len());
            let capacity = poll_fn(|context| sender.poll_capacity(context)).await;
            let capacity = capacity.context("the stream has ended")??;
            let piece = message.split_to(capacity.min(message.len()));
            sender.send_data(piece, false)?;
        }
    }
    Ok(())
}

/// Takes all messages of a seed, each checked; how many came, and the trailers.
pub(super) async fn receive(mut body: RecvStream, seed: u64) -> Result<(usize, Option<HeaderMap>)> {
    let stream = Stream::new(seed);
    let (mut chance, mut offset, mut count) = (fastrand::Rng::with_seed(seed), 0, 0);
    let mut got = BytesMut::new();
    let mut next = length(&mut chance);
    while let Some(piece) = wait::within("more of a stream", body.data()).await? {
        let piece = match piece {
            // Nothing more is wanted of this side, and all that was said came before: hyper, too,
            // takes that for an end.
            Err(error) if error.reason() == Some(Reason::NO_ERROR) => break,
            piece => piece?,
        };
        // Each byte is given back when it was read: the sender's window never grows.
        body.flow_control().release_capacity(piece.len())?;
        got.extend_from_slice(&piece);
        while got.len() >= PREFIX + next {
            let (compressed, told) = (got.get_u8(), got.get_u32());
            ensure!(
                compressed == 0 && told as usize == next,
                "message {count}: {told} bytes (compressed: {compressed}), not {next}"
            );
            let message = got.split_to(next);
            if let Err(spoiled) = stream.check(offset, &message) {
                bail!("message {count}: {spoiled}");
            }
            (offset, count) = (offset + next as u64, count + 1);
            next = length(&mut chance);
        }
    }
    ensure!(got.is_empty(), "{} bytes after message {count}", got.len());
    match body.trailers().await {
        Err(error) if error.reason() == Some(Reason::NO_ERROR) => Ok((count, None)),
        trailers => Ok((count, trailers?)),
    }
}
