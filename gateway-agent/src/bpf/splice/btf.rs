//! Where fields are in the running kernel's structures, by its BTF: the verdict program reads the peer
//! socket at these offsets.
//!
//! Only what that takes: plain members of named structures. The format is in the kernel's
//! Documentation/bpf/btf.rst.

use std::{fs, io};

/// Where the kernel shows its own BTF (Linux 5.4, CONFIG_DEBUG_INFO_BTF).
const PATH: &str = "/sys/kernel/btf/vmlinux";

/// Bytes of the header's fields that are read, and the magic in front of them.
const MAGIC: u16 = 0xeb9f;

/// Offsets that `splice` wants, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offsets {
    pub(super) write_seq: u32,
    pub(super) sndbuf: u32,
    pub(super) wmem_queued: u32,
    pub(super) copied_seq: u32,
    pub(super) window_clamp: u32,
    pub(super) rcvbuf: u32,
    pub(super) rmem_alloc: u32,
    pub(super) backlog_len: u32,
}

impl Offsets {
    /// Of the running kernel. `struct tcp_sock` begins with its `struct sock`.
    pub(super) fn read() -> io::Result<Self> {
        let bytes = fs::read(PATH)
            .map_err(|error| io::Error::new(error.kind(), format!("{PATH}: {error}")))?;
        let btf = Btf::parse(&bytes)
            .ok_or_else(|| io::Error::other(format!("{PATH} is not what this culvert reads")))?;
        let find = |structure, member| {
            let offset = btf.offset(structure, member);
            offset.ok_or_else(|| io::Error::other(format!("no {member} in its {structure}")))
        };
        // Its type has no name of its own.
        let backlog = find("sock", "sk_backlog")?;
        let [rmem_alloc, len] = btf
            .unnamed(["rmem_alloc", "len"])
            .ok_or_else(|| io::Error::other("no rmem_alloc in its sk_backlog"))?;
        Ok(Self {
            write_seq: find("tcp_sock", "write_seq")?,
            sndbuf: find("sock", "sk_sndbuf")?,
            wmem_queued: find("sock", "sk_wmem_queued")?,
            copied_seq: find("tcp_sock", "copied_seq")?,
            window_clamp: find("tcp_sock", "window_clamp")?,
            rcvbuf: find("sock", "sk_rcvbuf")?,
            rmem_alloc: backlog + rmem_alloc,
            backlog_len: backlog + len,
        })
    }
}

/// The two sections of a BTF blob.
struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Btf<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let magic = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
        if magic != MAGIC {
            return None;
        }
        let header = word(bytes, 4)?;
        let body = bytes.get(header as usize..)?;
        let section = |at: usize| -> Option<&'a [u8]> {
            let (offset, length) = (word(bytes, at)? as usize, word(bytes, at + 4)? as usize);
            body.get(offset..offset.checked_add(length)?)
        };
        Some(Self {
            types: section(8)?,
            strings: section(16)?,
        })
    }

    /// Offset in bytes of a member of the first structure of that name that has it.
    fn offset(&self, structure: &str, member: &str) -> Option<u32> {
        let [offset] = self.offsets(structure, [member])?;
        Some(offset)
    }

    /// Offsets of members of the first structure without a name that has them all.
    fn unnamed<const N: usize>(&self, members: [&str; N]) -> Option<[u32; N]> {
        self.offsets("", members)
    }

    fn offsets<const N: usize>(&self, structure: &str, members: [&str; N]) -> Option<[u32; N]> {
        let mut rest = self.types;
        while !rest.is_empty() {
            let (name, info) = (word(rest, 0)?, word(rest, 4)?);
            let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            let body = rest.get(12..)?;
            let bytes = trailing(kind, count)?;
            if kind == STRUCT && self.is(name, structure) {
                let found = members.map(|member| self.member(body.get(..bytes)?, info, member));
                if found.iter().all(Option::is_some) {
                    return Some(found.map(Option::unwrap_or_default));
                }
            }
            rest = body.get(bytes..)?;
        }
        None
    }

    /// Offset of a member, from the list of all of a structure.
    fn member(&self, members: &[u8], info: u32, name: &str) -> Option<u32> {
        // With the flag an offset has the size of a bit field in its upper byte.
        let mask = if info >> 31 == 1 {
            0x00ff_ffff
        } else {
            u32::MAX
        };
        let mut members = members.chunks_exact(12);
        let one = members.find(|one| word(one, 0).is_some_and(|at| self.is(at, name)))?;
        Some((word(one, 8)? & mask) / 8)
    }

    fn is(&self, at: u32, name: &str) -> bool {
        let found = self.strings.get(at as usize..);
        found
            .and_then(|found| found.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }
}

const STRUCT: u32 = 4;

/// Bytes that follow the head of a type; none for a kind that is not known, whose length is not either.
fn trailing(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // Pointers, forward declarations, names, qualifiers, functions, floats, type tags.
        2 | 7..=12 | 16 | 18 => 0,
        // Integers, variables, declaration tags.
        1 | 14 | 17 => 4,
        // Arrays.
        3 => 12,
        // Structures, unions, data sections, 64-bit enumerations.
        4 | 5 | 15 | 19 => count * 12,
        // Enumerations, prototypes.
        6 | 13 => count * 8,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A blob with one integer, then `struct s { int a; int b; }`.
    fn blob() -> Vec<u8> {
        let strings = b"\0int\0s\0a\0b\0";
        let types: Vec<u32> = vec![
            1,
            1 << 24,
            4,
            32, // int
            5,
            4 << 24 | 2,
            8,
            7,
            1,
            0,
            9,
            1,
            32, // s
        ];
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut blob = MAGIC.to_ne_bytes().to_vec();
        blob.extend([1, 0]);
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        let lengths = (length(&types), length(strings));
        for word in [24, 0, lengths.0, lengths.0, lengths.1] {
            blob.extend(word.to_ne_bytes());
        }
        blob.extend(types);
        blob.extend(strings);
        blob
    }

    #[test]
    fn every_cut_of_a_blob_has_no_such_member_and_does_no_harm() {
        let blob = blob();
        for length in 0..blob.len() {
            let found = Btf::parse(&blob[..length]).and_then(|btf| btf.offset("s", "b"));
            assert_eq!(found, None, "{length}");
        }
    }

    #[test]
    fn a_member_is_found_by_whole_names() {
        let blob = blob();
        let btf = Btf::parse(&blob).unwrap();
        assert_eq!(btf.offset("s", "b"), Some(4));
        assert_eq!(btf.offset("s", "c"), None);
        assert_eq!(btf.unnamed(["b"]), None);
    }
}
