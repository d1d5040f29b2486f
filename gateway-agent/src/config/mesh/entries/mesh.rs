//! `Kind = "mesh"`

use super::fields::{block, flag, one_of};
use super::{Head, tls};
use crate::config::reader::Reader;
use crate::mesh::entries::MeshSettings;
use crate::mesh::entries::settings::HttpSettings;
use crate::mesh::entries::tls::TlsBounds;

pub(super) fn read(head: Head, reader: &mut Reader<'_, '_>) -> MeshSettings {
    let one_flag = |reader: &mut Reader<'_, '_>, key, within| {
        block(reader, key, |reader| flag(reader, within)).unwrap_or_default()
    };
    let (tls_incoming, tls_outgoing) = block(reader, "tls", both_bounds).unwrap_or_default();
    MeshSettings {
        partition: head.partition(),
        peer_through_mesh_gateways: one_flag(reader, "peering", "peer_through_mesh_gateways"),
        mesh_destinations_only: one_flag(reader, "transparent_proxy", "mesh_destinations_only"),
        allow_permissive_mutual_tls: flag(reader, "allow_enabling_permissive_mutual_tls"),
        validate_clusters: flag(reader, "validate_clusters"),
        tls_incoming,
        tls_outgoing,
        http: block(reader, "http", http).unwrap_or_default(),
        meta: head.meta,
        at: head.at,
    }
}

fn both_bounds(reader: &mut Reader<'_, '_>) -> (TlsBounds, TlsBounds) {
    let mut bounds = |key| block(reader, key, tls::bounds).unwrap_or_default();
    (bounds("incoming"), bounds("outgoing"))
}

fn http(reader: &mut Reader<'_, '_>) -> HttpSettings {
    let sanitize = flag(reader, "sanitize_x_forwarded_client_cert");
    let incoming = block(reader, "incoming", |reader| {
        block(reader, "request_normalization", normalization)
    });
    HttpSettings {
        sanitize_x_forwarded_client_cert: sanitize,
        ..incoming.flatten().unwrap_or_default()
    }
}

fn normalization(reader: &mut Reader<'_, '_>) -> HttpSettings {
    HttpSettings {
        sanitize_x_forwarded_client_cert: false,
        insecure_disable_path_normalization: flag(reader, "insecure_disable_path_normalization"),
        merge_slashes: flag(reader, "merge_slashes"),
        escaped_slashes: one_of(
            reader,
            "path_with_escaped_slashes_action",
            &[
                "IMPLEMENTATION_SPECIFIC_DEFAULT",
                "KEEP_UNCHANGED",
                "REJECT_REQUEST",
                "UNESCAPE_AND_REDIRECT",
                "UNESCAPE_AND_FORWARD",
            ],
        ),
        headers_with_underscores: one_of(
            reader,
            "headers_with_underscores_action",
            &["ALLOW", "REJECT_REQUEST", "DROP_HEADER"],
        ),
    }
}
