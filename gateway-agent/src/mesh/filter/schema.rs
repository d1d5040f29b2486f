//! The fields of a service instance that a filter may ask for, and their types.
//!
//! Consul: what `/v1/health/service/<name>` answers for one instance (node, service, checks); opaque
//! proxy settings cannot be asked for. Names are case-sensitive.

use super::scan::Part;

/// The type of a field.
pub(super) enum Shape {
    Text,
    Number,
    Bool,
    /// A list of texts.
    Texts,
    /// A map from any key.
    Map(&'static Self),
    /// A list of structs.
    Items(&'static [Named]),
    /// A struct.
    Group(&'static [Named]),
}

/// A field and its type.
pub(super) type Named = (&'static str, Shape);

/// What a selector leads to.
pub(super) struct Found {
    pub(super) shape: &'static Shape,
    /// How many parts lead to the list of structs that the selector passes through.
    pub(super) items_after: Option<usize>,
    /// Whether it is the value of a map's key, which may be absent.
    pub(super) in_map: bool,
}

/// A part that names nothing.
pub(super) struct Unknown {
    /// Index of the part.
    pub(super) part: usize,
    /// What could have stood there; empty when nothing can.
    pub(super) known: Vec<&'static str>,
}

/// Follows a selector through the schema.
pub(super) fn find(selector: &[Part]) -> Result<Found, Unknown> {
    let mut found = Found {
        shape: &INSTANCE,
        items_after: None,
        in_map: false,
    };
    for (index, part) in selector.iter().enumerate() {
        let unknown = |known: &[Named]| Unknown {
            part: index,
            known: known.iter().map(|(name, _)| *name).collect(),
        };
        let fields = match found.shape {
            Shape::Map(values) => {
                found.shape = values;
                found.in_map = true;
                continue;
            }
            Shape::Group(fields) => *fields,
            Shape::Items(fields) => {
                found.items_after.get_or_insert(index);
                *fields
            }
            Shape::Text | Shape::Number | Shape::Bool | Shape::Texts => return Err(unknown(&[])),
        };
        found.shape = fields
            .iter()
            .find(|(name, _)| *name == part.name)
            .map(|(_, shape)| shape)
            .ok_or_else(|| unknown(fields))?;
    }
    Ok(found)
}

static INSTANCE: Shape = Shape::Group(&[
    ("Node", Shape::Group(NODE)),
    ("Service", Shape::Group(SERVICE)),
    ("Checks", Shape::Items(CHECK)),
]);

const NODE: &[Named] = &[
    ("ID", Shape::Text),
    ("Node", Shape::Text),
    ("Address", Shape::Text),
    ("Datacenter", Shape::Text),
    ("Partition", Shape::Text),
    ("PeerName", Shape::Text),
    ("TaggedAddresses", Shape::Map(&Shape::Text)),
    ("Meta", Shape::Map(&Shape::Text)),
    ("Locality", Shape::Group(LOCALITY)),
    ("CreateIndex", Shape::Number),
    ("ModifyIndex", Shape::Number),
];

const SERVICE: &[Named] = &[
    ("Kind", Shape::Text),
    ("ID", Shape::Text),
    ("Service", Shape::Text),
    ("Namespace", Shape::Text),
    ("Partition", Shape::Text),
    ("PeerName", Shape::Text),
    ("Address", Shape::Text),
    ("Port", Shape::Number),
    ("SocketPath", Shape::Text),
    ("Tags", Shape::Texts),
    ("Meta", Shape::Map(&Shape::Text)),
    ("TaggedAddresses", Shape::Map(&Shape::Group(ADDRESS))),
    ("Weights", Shape::Group(WEIGHTS)),
    ("EnableTagOverride", Shape::Bool),
    ("Connect", Shape::Group(&[("Native", Shape::Bool)])),
    ("Proxy", Shape::Group(PROXY)),
    ("Locality", Shape::Group(LOCALITY)),
    ("CreateIndex", Shape::Number),
    ("ModifyIndex", Shape::Number),
];

const ADDRESS: &[Named] = &[("Address", Shape::Text), ("Port", Shape::Number)];

const WEIGHTS: &[Named] = &[("Passing", Shape::Number), ("Warning", Shape::Number)];

const LOCALITY: &[Named] = &[("Region", Shape::Text), ("Zone", Shape::Text)];

const MESH_GATEWAY: &[Named] = &[("Mode", Shape::Text)];

const PROXY: &[Named] = &[
    ("DestinationServiceName", Shape::Text),
    ("DestinationServiceID", Shape::Text),
    ("LocalServiceAddress", Shape::Text),
    ("LocalServicePort", Shape::Number),
    ("LocalServiceSocketPath", Shape::Text),
    ("Mode", Shape::Text),
    ("MutualTLSMode", Shape::Text),
    ("MeshGateway", Shape::Group(MESH_GATEWAY)),
    ("TransparentProxy", Shape::Group(TRANSPARENT_PROXY)),
    ("Expose", Shape::Group(EXPOSE)),
    ("Upstreams", Shape::Items(UPSTREAM)),
];

const TRANSPARENT_PROXY: &[Named] = &[
    ("OutboundListenerPort", Shape::Number),
    ("DialedDirectly", Shape::Bool),
];

const EXPOSE: &[Named] = &[
    ("Checks", Shape::Bool),
    ("Paths", Shape::Items(EXPOSED_PATH)),
];

const EXPOSED_PATH: &[Named] = &[
    ("ListenerPort", Shape::Number),
    ("Path", Shape::Text),
    ("LocalPathPort", Shape::Number),
    ("Protocol", Shape::Text),
    ("ParsedFromCheck", Shape::Bool),
];

const UPSTREAM: &[Named] = &[
    ("DestinationType", Shape::Text),
    ("DestinationNamespace", Shape::Text),
    ("DestinationPartition", Shape::Text),
    ("DestinationPeer", Shape::Text),
    ("DestinationName", Shape::Text),
    ("Datacenter", Shape::Text),
    ("LocalBindAddress", Shape::Text),
    ("LocalBindPort", Shape::Number),
    ("LocalBindSocketPath", Shape::Text),
    ("LocalBindSocketMode", Shape::Text),
    ("MeshGateway", Shape::Group(MESH_GATEWAY)),
];

const CHECK: &[Named] = &[
    ("Node", Shape::Text),
    ("CheckID", Shape::Text),
    ("Name", Shape::Text),
    ("Status", Shape::Text),
    ("Notes", Shape::Text),
    ("Output", Shape::Text),
    ("ServiceID", Shape::Text),
    ("ServiceName", Shape::Text),
    ("ServiceTags", Shape::Texts),
    ("Type", Shape::Text),
    ("Interval", Shape::Text),
    ("Timeout", Shape::Text),
    ("ExposedPort", Shape::Number),
    ("Namespace", Shape::Text),
    ("Partition", Shape::Text),
    ("PeerName", Shape::Text),
    ("CreateIndex", Shape::Number),
    ("ModifyIndex", Shape::Number),
];
