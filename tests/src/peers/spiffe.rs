//! A TLS client that knows its server by its SPIFFE identity, as a mesh's proxies do.
//!
//! Such a client checks who signed the certificate and which URI it names; the server name that
//! it asks for is only there for gateways. Which identity it met instead is part of the answer:
//! it tells where a connection went astray.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What came of a handshake.
#[derive(Debug)]
pub enum Meeting {
    /// The server proved the expected identity.
    Expected(Box<TlsStream<TcpStream>>),
    /// The server proved this identity instead; the client refused it.
    Stranger(String),
    /// The connection was refused with this TLS alert.
    Alert(String),
    /// The connection ended without a word.
    Closed,
}

impl Meeting {
    /// The stream to the expected server; anything else is an error.
    pub fn expected(self) -> Result<TlsStream<TcpStream>> {
        match self {
            Self::Expected(stream) => Ok(*stream),
            Self::Stranger(met) => bail!("met {met} instead"),
            Self::Alert(name) => bail!("refused with the alert {name}"),
            Self::Closed => bail!("closed without a word"),
        }
    }
}

/// Shakes hands over `stream`, asking for `name`; the server must prove `identity` by a
/// certificate that hangs on one of the `roots`.
pub async fn meet(
    stream: TcpStream,
    name: &str,
    identity: &str,
    roots: &Arc<RootCertStore>,
) -> Result<Meeting> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Verifier {
        expected: identity.to_owned(),
        met: OnceLock::new(),
        roots: Arc::clone(roots),
        algorithms: provider.signature_verification_algorithms,
    });
    let config = client(provider, Arc::clone(&verifier))?;
    let name = ServerName::try_from(name.to_owned())?;
    let connector = TlsConnector::from(Arc::new(config));
    match connector.connect(name.clone(), stream).await {
        Ok(stream) => Ok(Meeting::Expected(Box::new(stream))),
        Err(error) => match (verifier.met.get(), alert(&error)) {
            (Some(met), _) if met != identity => Ok(Meeting::Stranger(met.clone())),
            (_, Some(alert)) => Ok(Meeting::Alert(alert)),
            _ if error.kind() == ErrorKind::UnexpectedEof => Ok(Meeting::Closed),
            _ => Err(error).with_context(|| format!("no TLS handshake for {name:?}")),
        },
    }
}

fn client(provider: Arc<CryptoProvider>, verifier: Arc<Verifier>) -> Result<ClientConfig> {
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// The alert that ended a handshake, by rustls's name for it.
fn alert(error: &std::io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(format!("{alert:?}")),
        _ => None,
    }
}

/// Checks who signed a certificate, and the SPIFFE identity in it instead of a DNS name.
#[derive(Debug)]
struct Verifier {
    expected: String,
    met: OnceLock<String>,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        let met = identity(certificate).unwrap_or_else(|| "nobody".to_owned());
        let met = self.met.get_or_init(|| met);
        if *met == self.expected {
            return Ok(ServerCertVerified::assertion());
        }
        let stranger = Arc::new(Stranger(met.clone()));
        Err(CertificateError::Other(OtherError(stranger)).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Somebody else than the expected server.
#[derive(Debug)]
struct Stranger(String);

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server is {}", self.0)
    }
}

impl Error for Stranger {}

/// The SPIFFE identity that a certificate names.
///
/// It is looked for as the bytes of a URI name (RFC 5280 section 4.2.1.6: tag 6, then a length of
/// one byte). That is enough for certificates of the rig's own authority, whose signature has
/// been checked before: nobody else chose a byte of them.
fn identity(certificate: &[u8]) -> Option<String> {
    const URI_TAG: u8 = 0x86;
    let scheme = b"spiffe://";
    let start = certificate
        .windows(scheme.len())
        .position(|window| window == scheme)?;
    let head = certificate.get(start.checked_sub(2)?..start)?;
    let [URI_TAG, length @ ..0x80] = *head else {
        return None;
    };
    let bytes = certificate.get(start..start + usize::from(length))?;
    String::from_utf8(bytes.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::tls::Authority;

    #[test]
    fn a_certificate_without_a_uri_names_nobody() {
        let authority = Authority::new().unwrap();
        let identity = authority.issue(&["spiffe.example.com"]).unwrap();
        assert_eq!(super::identity(identity.der()), None);
    }

    #[test]
    fn the_uri_of_a_certificate_is_its_identity() {
        let authority = Authority::new().unwrap();
        let uri = "spiffe://mesh.consul/ns/default/dc/dc2/svc/web";
        let certificate = authority.issue_spiffe("web", uri).unwrap();
        assert_eq!(identity(certificate.der()), Some(uri.to_owned()));
    }
}
