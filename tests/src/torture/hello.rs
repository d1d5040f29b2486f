//! ClientHello bytes made by hand: every shape that clients have, and shapes that none should.

/// Types of extensions (IANA registry of TLS ExtensionType values).
pub(crate) const SERVER_NAME: u16 = 0;
const PADDING: u16 = 21;
const KEY_SHARE: u16 = 51;
const SUPPORTED_VERSIONS: u16 = 43;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// A hello that is put together extension by extension.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    extensions: Vec<(u16, Vec<u8>)>,
    version: u16,
}

impl Hello {
    /// One without a name.
    pub(crate) fn nameless() -> Self {
        let versions = vec![2, 3, 4];
        Self {
            extensions: vec![(SUPPORTED_VERSIONS, versions)],
            version: 0x0303,
        }
    }

    /// One that asks for a name, spelled exactly so.
    pub(crate) fn asking_for(name: &[u8]) -> Self {
        Self::nameless().extension(SERVER_NAME, names(&[name]))
    }

    /// Adds an extension.
    pub(crate) fn extension(mut self, kind: u16, body: Vec<u8>) -> Self {
        self.extensions.push((kind, body));
        self
    }

    /// Adds a key share of the hybrid group X25519MLKEM768, as browsers send it: 1216 bytes.
    pub(crate) fn post_quantum(self) -> Self {
        let mut share = vec![0x11, 0xec, 0x04, 0xc0];
        share.resize(4 + 1216, 0x5a);
        self.extension(KEY_SHARE, sized(&share))
    }

    /// Adds values that mean nothing and must be passed over (RFC 8701).
    pub(crate) fn grease(self) -> Self {
        self.extension(0x0a0a, Vec::new())
            .extension(0xfafa, vec![0])
    }

    /// Adds an outer encrypted hello (RFC 9849), with as many bytes of payload.
    pub(crate) fn encrypted(self, payload: usize) -> Self {
        // Outer, HKDF-SHA256 and AES-128-GCM, a configuration's number, a key of 32 bytes.
        let mut body = vec![0, 0, 1, 0, 1, 7];
        body.extend(sized(&[0x33; 32]));
        body.extend(sized(&vec![0x44; payload]));
        self.extension(ENCRYPTED_CLIENT_HELLO, body)
    }

    /// Pads the message to `length` bytes, or leaves it if it is as long already.
    pub(crate) fn padded(self, length: usize) -> Self {
        // The padding's own type and length.
        let left = length.saturating_sub(self.message().len() + 4);
        self.extension(PADDING, vec![0; left])
    }

    /// The handshake message.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend([0x42; 32]);
        body.push(32);
        body.extend([0x24; 32]);
        body.extend([0, 4, 0x13, 0x01, 0x13, 0x02]);
        body.extend([1, 0]);
        let mut extensions = Vec::new();
        for (kind, content) in &self.extensions {
            extensions.extend(kind.to_be_bytes());
            extensions.extend(sized(content));
        }
        body.extend(sized(&extensions));
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut message = vec![1];
        message.extend(&length[1..]);
        message.extend(body);
        message
    }

    /// The message in records of at most `size` bytes.
    pub(crate) fn in_records(&self, size: usize) -> Vec<u8> {
        let mut records = Vec::new();
        for piece in self.message().chunks(size) {
            records.extend([22, 3, 1]);
            records.extend(sized(piece));
        }
        records
    }

    /// The message in as few records as may be.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        // RFC 8446 section 5.1: no record holds more.
        self.in_records(1 << 14)
    }
}

/// Content of a server_name extension with these host names.
pub(crate) fn names(names: &[&[u8]]) -> Vec<u8> {
    let mut list = Vec::new();
    for name in names {
        list.push(0);
        list.extend(sized(name));
    }
    sized(&list)
}

/// Bytes behind their length in two bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let mut all = length.to_be_bytes().to_vec();
    all.extend(bytes);
    all
}
