//! The ClientHello message (RFC 8446 section 4.1.2, unchanged in layout since RFC 5246).
//!
//! What a gateway decides by (server name, ALPN, ECH) and what it logs (versions, suites, key shares)
//! is checked when the hello is parsed; every other extension is skipped by its length and
//! left to the server, also when its content is wrong.

use core::fmt;

use super::{HelloError, Malformed, Reader, ServerName, ServerNameError};
use crate::limits::MAX_EXTENSIONS;

/// A parsed ClientHello, borrowed from the bytes that it was read from.
#[derive(Clone, Copy)]
pub struct ClientHello<'a> {
    legacy_version: u16,
    random: &'a [u8; 32],
    session_id: &'a [u8],
    cipher_suites: &'a [u8],
    extensions: &'a [u8],
    known: Known<'a>,
    record_count: u32,
    wire_length: usize,
}

/// One extension, as it stands in the hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Its type in the IANA registry.
    pub kind: u16,
    /// Its content.
    pub body: &'a [u8],
}

/// What the encrypted_client_hello extension (RFC 9849) says of a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EchKind {
    /// The outer hello: the server name is that of the client-facing server, and another may be
    /// hidden inside. GREASE looks the same, on purpose.
    Outer,
    /// The mark of a decrypted inner hello: a client-facing server forwards it in the clear.
    Inner,
}

/// The content of the extensions that a gateway understands.
#[derive(Clone, Copy, Default)]
struct Known<'a> {
    server_name: Option<ServerName>,
    /// List of names, each with a one-byte length.
    alpn: &'a [u8],
    supported_versions: &'a [u8],
    ech: Option<EchKind>,
    post_quantum: bool,
}

impl<'a> ClientHello<'a> {
    /// Reads the body of a hello, the message without its handshake header.
    pub(super) fn parse(
        body: &'a [u8],
        record_count: u32,
        wire_length: usize,
    ) -> Result<Self, HelloError> {
        let mut reader = Reader::new(body);
        let legacy_version = reader.u16("version")?;
        let random = reader.array("random")?;
        let session_id = read_session_id(&mut reader)?;
        let cipher_suites = read_u16_list(reader.list16("cipher suites")?, "cipher suites")?;
        if reader.list8("compression methods")?.is_empty() {
            return Err(reader.malformed("compression methods").into());
        }
        let mut extensions = Reader::new(&[]);
        if !reader.is_empty() {
            extensions = reader.list16("extensions")?;
            reader.finish("end of hello")?;
        }
        Ok(Self {
            legacy_version,
            random,
            session_id,
            cipher_suites,
            extensions: extensions.rest(),
            known: Known::read(extensions)?,
            record_count,
            wire_length,
        })
    }

    /// The version field: 0x0303 in TLS 1.2 and later, where `supported_versions` says more.
    pub const fn legacy_version(&self) -> u16 {
        self.legacy_version
    }

    /// The client's random value.
    pub const fn random(&self) -> &'a [u8; 32] {
        self.random
    }

    /// The session to resume, or the filler that TLS 1.3 sends for middleboxes; at most 32 bytes.
    pub const fn session_id(&self) -> &'a [u8] {
        self.session_id
    }

    /// The cipher suites in the client's order, GREASE included.
    pub fn cipher_suites(&self) -> impl Iterator<Item = u16> + Clone + use<'a> {
        u16_values(self.cipher_suites)
    }

    /// The extensions in the client's order, GREASE included.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'a>> + Clone + use<'a> {
        let mut reader = Reader::new(self.extensions);
        core::iter::from_fn(move || read_extension(&mut reader).ok())
    }

    /// The host name of the server_name extension; `None` when there is none, which is no error here.
    pub const fn server_name(&self) -> Option<&ServerName> {
        self.known.server_name.as_ref()
    }

    /// The application protocols offered (RFC 7301), in the client's order.
    pub fn alpn(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let mut reader = Reader::new(self.known.alpn);
        core::iter::from_fn(move || reader.list8("protocol").ok().map(|name| name.rest()))
    }

    /// The versions of the supported_versions extension, GREASE included; none before TLS 1.3.
    pub fn supported_versions(&self) -> impl Iterator<Item = u16> + Clone + use<'a> {
        u16_values(self.known.supported_versions)
    }

    /// What the hello says of ECH.
    pub const fn ech(&self) -> Option<EchKind> {
        self.known.ech
    }

    /// Whether a key share of a post-quantum group is offered, alone or in a hybrid.
    pub const fn has_post_quantum(&self) -> bool {
        self.known.post_quantum
    }

    /// Records that the hello came in.
    pub const fn record_count(&self) -> u32 {
        self.record_count
    }

    /// Bytes from the connection's first one to the hello's last one, record headers included.
    pub const fn wire_len(&self) -> usize {
        self.wire_length
    }
}

fn read_session_id<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    const LONGEST: usize = 32;
    let at_length = reader.malformed("session id");
    let id = reader.list8("session id")?.rest();
    if id.len() > LONGEST {
        Err(at_length)
    } else {
        Ok(id)
    }
}

/// Checks a list of two-byte values, which may not be empty.
fn read_u16_list<'a>(list: Reader<'a>, what: &'static str) -> Result<&'a [u8], Malformed> {
    let values = list.rest();
    if values.is_empty() || !values.len().is_multiple_of(2) {
        return Err(list.malformed(what));
    }
    Ok(values)
}

fn u16_values(bytes: &[u8]) -> impl Iterator<Item = u16> + Clone + use<'_> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|&pair| u16::from_be_bytes(pair))
}

fn read_extension<'a>(reader: &mut Reader<'a>) -> Result<Extension<'a>, Malformed> {
    let kind = reader.u16("extension type")?;
    let body = reader.list16("extension")?.rest();
    Ok(Extension { kind, body })
}

impl<'a> Known<'a> {
    fn read(mut extensions: Reader<'a>) -> Result<Self, HelloError> {
        const SERVER_NAME: u16 = 0;
        const ALPN: u16 = 16;
        const SUPPORTED_VERSIONS: u16 = 43;
        const KEY_SHARE: u16 = 51;
        const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

        let mut known = Self::default();
        let mut seen = Seen::default();
        while !extensions.is_empty() {
            let kind = extensions.u16("extension type")?;
            let body = extensions.list16("extension")?;
            seen.insert(kind)?;
            match kind {
                SERVER_NAME => known.server_name = read_server_name(body)?,
                ALPN => known.alpn = read_alpn(body)?,
                SUPPORTED_VERSIONS => known.supported_versions = read_versions(body)?,
                KEY_SHARE => known.post_quantum = offers_post_quantum(body)?,
                ENCRYPTED_CLIENT_HELLO => known.ech = Some(read_ech(body)?),
                _ => {}
            }
        }
        Ok(known)
    }
}

/// The extension types met so far.
struct Seen {
    kinds: [u16; MAX_EXTENSIONS],
    count: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            kinds: [0; MAX_EXTENSIONS],
            count: 0,
        }
    }
}

impl Seen {
    fn insert(&mut self, kind: u16) -> Result<(), HelloError> {
        if self.kinds.iter().take(self.count).any(|&seen| seen == kind) {
            return Err(HelloError::DuplicateExtension(kind));
        }
        *self
            .kinds
            .get_mut(self.count)
            .ok_or(HelloError::TooManyExtensions)? = kind;
        self.count += 1;
        Ok(())
    }
}

/// Reads the list of RFC 6066 section 3.
///
/// No other name type than host name was ever defined, and none can be skipped for want of a layout:
/// readers disagree about what follows one, so that it could show the server another name than us.
fn read_server_name(mut body: Reader<'_>) -> Result<Option<ServerName>, HelloError> {
    const HOST_NAME: u8 = 0;
    let mut list = body.list16("server name list")?;
    body.finish("server name list")?;
    if list.is_empty() {
        return Err(ServerNameError::Empty.into());
    }
    let mut found = None;
    while !list.is_empty() {
        let at_type = list.malformed("server name type");
        if list.u8("server name type")? != HOST_NAME {
            return Err(at_type.into());
        }
        let name = list.list16("server name")?.rest();
        if found.is_some() {
            return Err(HelloError::TwoNames);
        }
        found = Some(ServerName::try_from(name)?);
    }
    Ok(found)
}

fn read_alpn(mut body: Reader<'_>) -> Result<&[u8], Malformed> {
    let list = body.list16("protocol list")?;
    body.finish("protocol list")?;
    if list.is_empty() {
        return Err(list.malformed("protocol list"));
    }
    let mut names = list;
    while !names.is_empty() {
        let name = names.list8("protocol")?;
        if name.is_empty() {
            return Err(name.malformed("protocol"));
        }
    }
    Ok(list.rest())
}

fn read_versions(mut body: Reader<'_>) -> Result<&[u8], Malformed> {
    let versions = read_u16_list(body.list8("supported versions")?, "supported versions")?;
    body.finish("supported versions")?;
    Ok(versions)
}

/// Reads the groups of the client's key shares (RFC 8446 section 4.2.8); there may be none.
fn offers_post_quantum(mut body: Reader<'_>) -> Result<bool, Malformed> {
    let mut shares = body.list16("key shares")?;
    body.finish("key shares")?;
    let mut post_quantum = false;
    while !shares.is_empty() {
        let group = shares.u16("key share group")?;
        let key = shares.list16("key share")?;
        if key.is_empty() {
            return Err(key.malformed("key share"));
        }
        post_quantum |= is_post_quantum(group);
    }
    Ok(post_quantum)
}

/// ML-KEM alone, its hybrids, and the Kyber drafts that older browsers send (IANA registry "TLS
/// Supported Groups").
const fn is_post_quantum(group: u16) -> bool {
    matches!(group, 0x0200..=0x0202 | 0x11eb..=0x11ee | 0x6399..=0x639a | 0xfe30..=0xfe31)
}

fn read_ech(mut body: Reader<'_>) -> Result<EchKind, Malformed> {
    let at_kind = body.malformed("encrypted client hello");
    match body.u8("encrypted client hello")? {
        0 => Ok(EchKind::Outer),
        1 => body
            .finish("encrypted client hello")
            .map(|()| EchKind::Inner),
        _ => Err(at_kind),
    }
}

impl fmt::Debug for ClientHello<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHello")
            .field("server_name", &self.known.server_name)
            .field("ech", &self.known.ech)
            .field("post_quantum", &self.known.post_quantum)
            .field("record_count", &self.record_count)
            .field("wire_length", &self.wire_length)
            .finish_non_exhaustive()
    }
}
