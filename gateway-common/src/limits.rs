//! Every capacity and size that both halves share or that an operator may meet, each with its reason.
//!
//! Here, and not beside its user, when more than one module must agree on a number. A setting may
//! lower a limit; nothing raises one above what stands here.

/// Longest ClientHello accepted, in bytes of the handshake message with its 4-byte header.
///
/// Post-quantum key shares bring a browser's hello to about 1.8 KiB, and large session tickets or
/// ECH to a few KiB more. 64 KiB is far above what a client sends and still a bounded cost.
pub const MAX_HELLO: usize = 65_536;

/// Wire bytes that one byte of hello costs at most: RFC 8446 section 5.1 lets a client put each byte
/// into a record of its own, with a 5-byte header, and forbids empty handshake records.
pub const WIRE_PER_HELLO_BYTE: usize = 6;

/// Extensions accepted in one ClientHello.
///
/// Clients send fewer than 30; the registry assigns fewer than 70 types. The bound keeps the search
/// for duplicates cheap without memory of its own: 64 KiB would hold 16,000 empty extensions.
pub const MAX_EXTENSIONS: usize = 256;

/// Longest DNS name in bytes, without the trailing dot (RFC 1035 section 2.3.4, as text).
pub const MAX_SERVER_NAME: usize = 253;

/// Longest label of a DNS name in bytes (RFC 1035 section 2.3.4).
pub const MAX_LABEL: usize = 63;
