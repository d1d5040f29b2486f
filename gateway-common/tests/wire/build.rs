//! Builds hellos that no client at hand sends, sound and unsound.

/// A ClientHello in the making; the default is a small sound one without extensions.
#[derive(Debug, Clone)]
pub(crate) struct Hello {
    pub(crate) session_id: Vec<u8>,
    pub(crate) cipher_suites: Vec<u16>,
    pub(crate) compression_methods: Vec<u8>,
    /// Type and content; `None` leaves out the whole block, as clients before RFC 3546 did.
    pub(crate) extensions: Option<Vec<(u16, Vec<u8>)>>,
}

pub(crate) const SERVER_NAME: u16 = 0;
pub(crate) const ALPN: u16 = 16;
pub(crate) const PADDING: u16 = 21;
pub(crate) const SUPPORTED_VERSIONS: u16 = 43;
pub(crate) const KEY_SHARE: u16 = 51;
pub(crate) const ECH: u16 = 0xfe0d;

impl Default for Hello {
    fn default() -> Self {
        Self {
            session_id: vec![7; 32],
            cipher_suites: vec![0x1301, 0x1302, 0xc02f],
            compression_methods: vec![0],
            extensions: Some(Vec::new()),
        }
    }
}

impl Hello {
    /// What a client of TLS 1.3 sends for `name`.
    pub(crate) fn plain(name: &str) -> Self {
        Self::default()
            .with(SERVER_NAME, server_names(&[(0, name.as_bytes())]))
            .with(ALPN, protocols(&[b"h2", b"http/1.1"]))
            .with(13, list16(&[0x04, 0x03, 0x08, 0x04]))
            .with(10, list16(&[0, 29]))
            .with(SUPPORTED_VERSIONS, list8(&[3, 4, 3, 3]))
            .with(KEY_SHARE, key_shares(&[(29, 32)]))
    }

    pub(crate) fn with(mut self, kind: u16, body: Vec<u8>) -> Self {
        self.extensions.get_or_insert_default().push((kind, body));
        self
    }

    /// Adds a padding extension (RFC 7685) that makes the message `length` bytes long.
    pub(crate) fn padded_to(self, length: usize) -> Self {
        let header = 4;
        let padding = length - self.message().len() - header;
        self.with(PADDING, vec![0; padding])
    }

    /// The handshake message, with its header.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([0x5a; 32]);
        body.extend(list8(&self.session_id));
        body.extend(list16(&be_bytes(&self.cipher_suites)));
        body.extend(list8(&self.compression_methods));
        if let Some(extensions) = &self.extensions {
            let block = extensions
                .iter()
                .flat_map(|(kind, content)| kind.to_be_bytes().into_iter().chain(list16(content)));
            body.extend(list16(&block.collect::<Vec<_>>()));
        }
        message(1, &body)
    }

    /// The message in one record, or in as few as hold it.
    pub(crate) fn wire(&self) -> Vec<u8> {
        records(&self.message(), &[1 << 14])
    }
}

/// A handshake message of any type.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    let [_, length @ ..] = length.to_be_bytes();
    [&[kind], &length[..], body].concat()
}

/// Cuts a message into handshake records of the given sizes; the last one repeats.
pub(crate) fn records(message: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut rest = message;
    let mut sizes = sizes.iter().copied();
    let mut size = sizes.next().unwrap();
    while !rest.is_empty() {
        let fragment = rest.split_off(..size.min(rest.len())).unwrap();
        wire.extend(record(22, fragment));
        size = sizes.next().unwrap_or(size);
    }
    wire
}

/// One record of any content type.
pub(crate) fn record(content_type: u8, fragment: &[u8]) -> Vec<u8> {
    [&[content_type, 3, 1], &*list16(fragment)].concat()
}

/// The content of a server_name extension.
pub(crate) fn server_names(names: &[(u8, &[u8])]) -> Vec<u8> {
    let entries = names
        .iter()
        .flat_map(|&(kind, name)| [vec![kind], list16(name)].concat());
    list16(&entries.collect::<Vec<_>>())
}

/// The content of an ALPN extension.
pub(crate) fn protocols(names: &[&[u8]]) -> Vec<u8> {
    list16(
        &names
            .iter()
            .flat_map(|name| list8(name))
            .collect::<Vec<_>>(),
    )
}

/// The content of a key_share extension: groups, and the length of each key.
pub(crate) fn key_shares(shares: &[(u16, usize)]) -> Vec<u8> {
    let entries = shares.iter().flat_map(|&(group, length)| {
        group
            .to_be_bytes()
            .into_iter()
            .chain(list16(&vec![9; length]))
    });
    list16(&entries.collect::<Vec<_>>())
}

pub(crate) fn be_bytes(values: &[u16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

pub(crate) fn list8(content: &[u8]) -> Vec<u8> {
    [&[u8::try_from(content.len()).unwrap()], content].concat()
}

pub(crate) fn list16(content: &[u8]) -> Vec<u8> {
    [
        &u16::try_from(content.len()).unwrap().to_be_bytes(),
        content,
    ]
    .concat()
}
