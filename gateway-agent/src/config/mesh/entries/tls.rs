//! Versions, ciphers and certificates of TLS.

use super::fields::{block, text, texts, word};
use crate::config::diagnostic::Diagnostic;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::mesh::entries::tls::{SdsSource, TlsBounds, TlsVersion};

/// `tls_min_version`, `tls_max_version` and `cipher_suites`, given side by side.
pub(super) fn bounds(reader: &mut Reader<'_, '_>) -> TlsBounds {
    let at = |reader: &mut Reader<'_, '_>, key| reader.all(key).next().map(|item| item.value.at);
    let max_at = at(reader, "tls_max_version");
    let suites_at = at(reader, "cipher_suites");
    let bounds = TlsBounds {
        min: word(reader, "tls_min_version", VERSIONS),
        max: word(reader, "tls_max_version", VERSIONS),
        cipher_suites: texts(reader, "cipher_suites"),
    };
    check(&bounds, (max_at, suites_at), reader);
    bounds
}

const VERSIONS: &[(&str, TlsVersion)] = &[
    ("TLS_AUTO", TlsVersion::Auto),
    ("TLSv1_0", TlsVersion::V1_0),
    ("TLSv1_1", TlsVersion::V1_1),
    ("TLSv1_2", TlsVersion::V1_2),
    ("TLSv1_3", TlsVersion::V1_3),
];

fn check(bounds: &TlsBounds, at: (Option<Span>, Option<Span>), reader: &mut Reader<'_, '_>) {
    let (max_at, suites_at) = at;
    let numbered = |version: Option<TlsVersion>| version.filter(|&one| one != TlsVersion::Auto);
    if let (Some(min), Some(max), Some(at)) = (numbered(bounds.min), numbered(bounds.max), max_at)
        && max < min
    {
        let message = "`tls_max_version` is older than `tls_min_version`";
        reader.error(Diagnostic::new(at, message, "expected one as new or newer"));
    }
    // Consul: ciphers of TLS 1.3 cannot be chosen.
    if let (Some(TlsVersion::V1_3), Some(at)) = (bounds.min, suites_at)
        && !bounds.cipher_suites.is_empty()
    {
        let message = "`cipher_suites` have no effect on TLS 1.3";
        let expected = "expected none, or an older `tls_min_version`";
        reader.error(Diagnostic::new(at, message, expected));
    }
}

/// `sds { cluster_name, cert_resource }`
pub(super) fn sds(reader: &mut Reader<'_, '_>) -> Option<SdsSource> {
    block(reader, "sds", |reader| SdsSource {
        cluster: text(reader, "cluster_name"),
        resource: text(reader, "cert_resource"),
    })
}
