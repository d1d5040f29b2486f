//! The TLS ClientHello as it comes from the wire: found, put together, read, never answered.
//!
//! Three jobs, three files: `record` walks TLS records and puts a hello together that is split
//! over several; `client_hello` reads the message; `server_name` says what a server name is.
//! Beside them: `preamble` names what speaks instead of TLS, `alert` holds the few alerts a
//! gateway sends, `error` every reason to refuse a hello, `reader` the bounded slice reader
//! below them all.
//!
//! Everything here is a pure function of bytes: no sockets, no clock, no allocation, no indexing
//! and no panic on any input. Deliberately absent: decryption, QUIC, DTLS, and any judgement of
//! ciphers or versions, which belong to the server that the connection is for.

mod alert;
mod client_hello;
mod error;
mod preamble;
mod reader;
mod record;
mod server_name;

pub use alert::Alert;
pub use client_hello::{ClientHello, EchKind, Extension};
pub use error::HelloError;
pub use preamble::{FirstBytes, Preamble};
pub use reader::{Malformed, Reader};
pub use record::{HelloReader, Progress};
pub use server_name::{ServerName, ServerNameError};
