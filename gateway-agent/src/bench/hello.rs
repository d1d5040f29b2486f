//! The client's hello: made by rustls, so that it is what a TLS client sends, in a chosen shape.
//!
//! A plain stream behind it is announced inside the hello, by a mark in the session id, where
//! TLS 1.3 sends 32 random bytes for middleboxes: no gateway decides by them, and a name or a
//! protocol of our own would change how the hello is routed.

use core::fmt;

use gateway_common::wire::ClientHello;
use rustls::crypto::{ActiveKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup, ring};
use rustls::{NamedGroup, ProtocolVersion};
use xxhash_rust::xxh3::xxh3_64;

/// What the hello looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shape {
    /// Some 1,450 bytes, with a post-quantum key share as browsers send one
    Pq,
    /// Some 250 bytes, as older clients send
    Small,
    /// The first one, cut into TLS records and TCP segments of 200 bytes
    Split,
}

impl Shape {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pq => "pq",
            Self::Small => "small",
            Self::Split => "split",
        }
    }

    /// The crypto that makes hellos of this shape.
    pub(super) fn provider(self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        if self != Self::Small {
            provider.kx_groups.insert(0, &Hybrid);
        }
        provider
    }

    /// Cuts a hello into what goes out in one segment each.
    pub(super) fn pieces(self, hello: &[u8]) -> Vec<Vec<u8>> {
        match (self, hello.split_first_chunk::<RECORD_HEADER>()) {
            (Self::Split, Some(([kind, major, minor, _, _], message))) => message
                .chunks(PIECE)
                .map(|piece| {
                    let length = u16::try_from(piece.len()).unwrap_or_default();
                    let [high, low] = length.to_be_bytes();
                    [&[*kind, *major, *minor, high, low], piece].concat()
                })
                .collect(),
            _ => vec![hello.to_vec()],
        }
    }
}

const RECORD_HEADER: usize = 5;
/// Small enough that also the server name is cut from the rest.
const PIECE: usize = 200;
/// Where the session id lies in a hello of one record: behind the headers of record and message,
/// version, random and its own length.
const SESSION_ID: usize = RECORD_HEADER + 4 + 2 + 32 + 1;
const SESSION_ID_LENGTH: usize = 32;

/// Marks a hello as one that plain bytes follow; no if it has no place for the mark.
pub(super) fn mark_plain(hello: &mut [u8]) -> bool {
    let random: Option<[u8; 32]> = hello
        .get(RECORD_HEADER + 6..SESSION_ID - 1)
        .and_then(|random| random.try_into().ok());
    let has_place = hello
        .get(SESSION_ID - 1)
        .is_some_and(|length| usize::from(*length) == SESSION_ID_LENGTH);
    let id = hello
        .get_mut(SESSION_ID..SESSION_ID + SESSION_ID_LENGTH)
        .and_then(|id| id.split_last_chunk_mut::<MARK>());
    let (Some(random), true, Some((filler, place))) = (random, has_place, id) else {
        return false;
    };
    *place = mark(&random, filler);
    true
}

/// Whether plain bytes follow this hello.
pub(super) fn is_plain(hello: &ClientHello<'_>) -> bool {
    let id = hello.session_id().split_last_chunk::<MARK>();
    id.is_some_and(|(filler, found)| *found == mark(hello.random(), filler))
}

const MARK: usize = size_of::<u64>();

fn mark(random: &[u8; 32], filler: &[u8]) -> [u8; MARK] {
    xxh3_64(&[b"culvert bench".as_slice(), random, filler].concat()).to_be_bytes()
}

/// A key exchange with the size of X25519MLKEM768 and only the X25519 half of its secret.
///
/// The hello offers both, as browsers do; a server that picks the whole of it cannot be talked to.
/// `culvert bench server` picks X25519. The one provider of this tree has no ML-KEM.
#[derive(Debug)]
struct Hybrid;

impl SupportedKxGroup for Hybrid {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        let classical = ring::kx_group::X25519.start()?;
        let mut share = encapsulation_key();
        share.extend_from_slice(classical.pub_key());
        Ok(Box::new(HybridExchange { classical, share }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

struct HybridExchange {
    classical: Box<dyn ActiveKeyExchange>,
    share: Vec<u8>,
}

impl ActiveKeyExchange for HybridExchange {
    fn complete(self: Box<Self>, _peer: &[u8]) -> Result<SharedSecret, rustls::Error> {
        Err(rustls::Error::General(
            "the server picked the post-quantum key share, which is for its size only: \
             use --hello small with this server"
                .to_owned(),
        ))
    }

    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((self.classical.group(), self.classical.pub_key()))
    }

    fn complete_hybrid_component(
        self: Box<Self>,
        peer: &[u8],
    ) -> Result<SharedSecret, rustls::Error> {
        self.classical.complete(peer)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

impl fmt::Debug for HybridExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HybridExchange").finish_non_exhaustive()
    }
}

/// Random bytes that read as an encapsulation key of ML-KEM-768 (FIPS 203 section 7.2): three
/// polynomials of 256 coefficients below 3329, two of which are packed into three bytes, and a
/// seed of 32 bytes.
fn encapsulation_key() -> Vec<u8> {
    const PAIRS: usize = 3 * 256 / 2;
    const MODULUS: u32 = 3329;
    let mut key = Vec::with_capacity(PAIRS * 3 + 32);
    for _ in 0..PAIRS {
        let pair = fastrand::u32(..MODULUS) | fastrand::u32(..MODULUS) << 12;
        let [first, second, third, _] = pair.to_le_bytes();
        key.extend([first, second, third]);
    }
    key.extend((0..32).map(|_| fastrand::u8(..)));
    key
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gateway_common::wire::{HelloReader, Progress};
    use rustls::ClientConnection;

    use super::*;
    use crate::bench::tls;

    fn hello(shape: Shape) -> Vec<u8> {
        let config = Arc::new(tls::client(shape, None).unwrap());
        let name = "web.example.com".try_into().unwrap();
        let mut bytes = Vec::new();
        let mut connection = ClientConnection::new(config, name).unwrap();
        connection.write_tls(&mut bytes).unwrap();
        bytes
    }

    fn read<T>(bytes: &[u8], look: impl FnOnce(&ClientHello<'_>) -> T) -> T {
        let (mut reader, mut scratch) = (HelloReader::new(16_384), Vec::new());
        loop {
            match reader.advance(bytes, &mut scratch).unwrap() {
                Progress::Complete(hello) => return look(&hello),
                Progress::Scratch { need } => scratch.resize(need, 0),
                Progress::Incomplete { need } => panic!("{need} bytes needed"),
            }
        }
    }

    #[test]
    fn an_unmarked_hello_is_not_taken_for_a_plain_stream() {
        for shape in [Shape::Pq, Shape::Small] {
            let mut bytes = hello(shape);
            assert!(!read(&bytes, is_plain));
            assert!(mark_plain(&mut bytes));
            assert!(read(&bytes, is_plain));
            // The mark is bound to the random value of its own hello.
            bytes[20] ^= 1;
            assert!(!read(&bytes, is_plain));
        }
        assert!(!mark_plain(&mut [0; 100]));
        assert!(!mark_plain(&mut []));
    }

    #[test]
    fn shapes_have_the_sizes_that_they_promise() {
        let (small, pq) = (hello(Shape::Small), hello(Shape::Pq));
        assert!((200..350).contains(&small.len()), "{}", small.len());
        assert!((1400..1600).contains(&pq.len()), "{}", pq.len());
        assert!(read(&pq, |hello| hello.has_post_quantum()));
        assert!(!read(&small, |hello| hello.has_post_quantum()));
    }

    #[test]
    fn a_split_hello_is_the_same_message_in_many_records() {
        let bytes = hello(Shape::Split);
        let pieces = Shape::Split.pieces(&bytes);
        assert_eq!(pieces.len(), (bytes.len() - 5).div_ceil(200));
        let facts = |hello: &ClientHello<'_>| (hello.server_name().copied(), *hello.random());
        assert_eq!(read(&pieces.concat(), facts), read(&bytes, facts));
    }
}
