//! Which TLS proxies and gateways speak.

/// Bounds of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsBounds {
    /// The oldest version; `None`: the proxy's own.
    pub min: Option<TlsVersion>,
    /// The newest.
    pub max: Option<TlsVersion>,
    /// Ciphers of versions before 1.3; empty: the proxy's own.
    pub cipher_suites: Vec<String>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub enum TlsVersion {
    /// As the proxy likes.
    #[serde(rename = "TLS_AUTO")]
    Auto,
    /// 1.0.
    #[serde(rename = "TLSv1_0")]
    V1_0,
    /// 1.1.
    #[serde(rename = "TLSv1_1")]
    V1_1,
    /// 1.2.
    #[serde(rename = "TLSv1_2")]
    V1_2,
    /// 1.3.
    #[serde(rename = "TLSv1_3")]
    V1_3,
}

/// A certificate that a secret service hands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdsSource {
    /// The cluster of that service, as the proxy's bootstrap names it; empty: the outer one.
    pub cluster: String,
    /// The certificate.
    pub resource: String,
}
