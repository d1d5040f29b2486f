//! Streams of known bytes with a checksum at both ends.
//!
//! A stream is pseudo-random and a function of its seed and length alone. Each block carries its
//! own number, so that lost, doubled and swapped blocks all change the sum.

use std::io;

use anyhow::{Result, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use xxhash_rust::xxh3::Xxh3;

/// What one end saw of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Number of bytes.
    pub length: u64,
    /// xxh3 over all of them.
    pub hash: u64,
}

/// A stream of bytes that both ends can tell from any other.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// Tells streams apart.
    pub seed: u64,
    /// Number of bytes in the stream.
    pub length: u64,
}

/// Size of a block: large enough that the checksum and not the system calls set the pace.
const BLOCK: usize = 64 * 1024;

impl Pattern {
    /// Writes the stream and returns what was written; leaves the writer open.
    pub async fn send(self, writer: &mut (impl AsyncWrite + Unpin)) -> Result<Sum> {
        let mut meter = Meter::default();
        let mut block = self.template();
        let mut number = 0_u64;
        while meter.length < self.length {
            for (place, byte) in block.iter_mut().zip(number.to_le_bytes()) {
                *place = byte;
            }
            let left = usize::try_from(self.length - meter.length).unwrap_or(BLOCK);
            let bytes = block.get(..left.min(BLOCK)).unwrap_or(&block);
            meter.count(bytes);
            writer.write_all(bytes).await?;
            number += 1;
        }
        writer.flush().await?;
        Ok(meter.sum())
    }

    /// The sum of the stream without sending it.
    pub async fn sum(self) -> Result<Sum> {
        self.send(&mut tokio::io::sink()).await
    }

    /// One block from the seed by a multiplicative generator (Knuth's MMIX constants).
    fn template(self) -> Vec<u8> {
        let mut state = self.seed;
        let mut block = Vec::with_capacity(BLOCK);
        while block.len() < BLOCK {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            block.extend_from_slice(&state.rotate_left(23).to_le_bytes());
        }
        block
    }
}

/// Reads to the end of the stream and returns what came; a reset is an error.
pub async fn receive(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Sum> {
    let mut receipt = Receipt::default();
    receipt.read_to_end(reader).await?;
    Ok(receipt.sum())
}

/// Reads exactly `length` bytes and returns their sum.
pub async fn receive_exact(reader: &mut (impl AsyncRead + Unpin), length: u64) -> io::Result<Sum> {
    let sum = receive(&mut reader.take(length)).await?;
    if sum.length < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(sum)
}

/// Takes a stream that is read in parts, and sums up the whole.
#[derive(Default)]
pub struct Receipt(Meter);

impl Receipt {
    /// Reads exactly `length` bytes more.
    pub async fn read_exact(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        length: u64,
    ) -> io::Result<()> {
        let before = self.0.length;
        self.read_to_end(&mut reader.take(length)).await?;
        if self.0.length - before < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Reads to the end of the stream.
    pub async fn read_to_end(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        let mut buffer = vec![0; BLOCK];
        loop {
            let length = reader.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            self.0.count(buffer.get(..length).unwrap_or_default());
        }
    }

    /// What has been read so far.
    #[must_use]
    pub fn sum(&self) -> Sum {
        self.0.sum()
    }
}

impl core::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.sum().fmt(f)
    }
}

/// Sends a stream from one socket to the other and ends it there; both sums must agree.
pub async fn transfer(mut from: TcpStream, mut to: TcpStream, pattern: Pattern) -> Result<()> {
    let sending = tokio::spawn(async move {
        let sum = pattern.send(&mut from).await?;
        from.shutdown().await?;
        anyhow::Ok((sum, from))
    });
    let received = receive(&mut to).await?;
    let (sent, _from) = sending.await??;
    ensure!(sent == received, "sent {sent:?}, received {received:?}");
    Ok(())
}

#[derive(Default)]
struct Meter {
    length: u64,
    hash: Xxh3,
}

impl Meter {
    fn count(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hash.update(bytes);
    }

    fn sum(&self) -> Sum {
        Sum {
            length: self.length,
            hash: self.hash.digest(),
        }
    }
}
