//! Decoded maps: rows of typed cells, to be printed or serialised.

use core::{fmt, ops::RangeInclusive};

use ipnet::IpNet;
use serde::{Serialize, Serializer};

/// A decoded map.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// Name of the gateway.
    pub instance: String,
    /// Number of the layout.
    pub abi: u32,
    /// Name of the map.
    pub map: &'static str,
    /// Its kind, as bpftool calls it.
    pub kind: &'static str,
    /// Entries that it can hold; bytes for a ring buffer.
    pub capacity: u32,
    /// Names of the columns.
    pub columns: &'static [&'static str],
    /// One cell a column.
    pub rows: Vec<Vec<Cell>>,
}

/// One value of a decoded map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// An id, a count, a size.
    Number(u64),
    /// A name.
    Text(String),
    /// Addresses.
    Prefix(IpNet),
    /// Ports, as ranges in order.
    Ports(Vec<(u16, u16)>),
    /// Nothing known, such as the name of an id that has none.
    Unknown,
}

impl Cell {
    /// A name that may be missing.
    pub(super) fn text(text: Option<&str>) -> Self {
        text.map_or(Self::Unknown, |text| Self::Text(text.to_owned()))
    }

    /// Ports of one range.
    pub(super) fn range(ports: &RangeInclusive<u16>) -> Self {
        Self::Ports(vec![(*ports.start(), *ports.end())])
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Prefix(prefix) => prefix.fmt(f),
            Self::Ports(ranges) => {
                let range = |(first, last): &(u16, u16)| match first == last {
                    true => first.to_string(),
                    false => format!("{first}-{last}"),
                };
                f.pad(&ranges.iter().map(range).collect::<Vec<_>>().join(","))
            }
            Self::Unknown => f.pad("-"),
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Unknown => serializer.serialize_none(),
            other => serializer.collect_str(other),
        }
    }
}

/// A map's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTable {
    /// Name of the gateway.
    pub instance: String,
    /// Number of the layout.
    pub abi: u32,
    /// Name of the pin.
    pub map: String,
    /// Size of a key.
    pub key_bytes: u32,
    /// Size of a value, of one CPU where there is one for each.
    pub value_bytes: u32,
    /// Keys and values; those of all CPUs one after the other, each padded to eight bytes.
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl RawTable {
    /// Keys and values in hexadecimal.
    pub fn hex(&self) -> impl Iterator<Item = (String, String)> {
        self.entries
            .iter()
            .map(|(key, value)| (hex(key), hex(value)))
    }
}

impl Serialize for RawTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut table = serializer.serialize_struct("RawTable", 6)?;
        table.serialize_field("instance", &self.instance)?;
        table.serialize_field("abi", &self.abi)?;
        table.serialize_field("map", &self.map)?;
        table.serialize_field("key_bytes", &self.key_bytes)?;
        table.serialize_field("value_bytes", &self.value_bytes)?;
        table.serialize_field("entries", &self.hex().collect::<Vec<_>>())?;
        table.end()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Cell, hex};

    #[test]
    fn ports_read_as_people_write_them() {
        assert_eq!(
            Cell::Ports(vec![(80, 80), (443, 450)]).to_string(),
            "80,443-450"
        );
    }

    #[test]
    fn cells_keep_their_type_in_json() {
        let cells = [
            Cell::Number(7),
            Cell::Unknown,
            Cell::Prefix("fd00::/8".parse().unwrap()),
        ];
        assert_eq!(
            serde_json::to_string(&cells).unwrap(),
            r#"[7,null,"fd00::/8"]"#
        );
    }

    #[test]
    fn bytes_are_two_digits_each() {
        assert_eq!(hex(&[0, 0xab]), "00ab");
    }
}
