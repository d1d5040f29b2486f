//! `culvert maps`: what the kernel half's maps hold, read from their pins. No agent is needed, and
//! a running one is not disturbed.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::output::{json, print, table_of};
use super::{Failure, format};
use crate::bpf::BpfError;
use crate::bpf::decode::{self, Pinned, RawTable, Table};

/// Which maps
#[derive(Debug, Args)]
pub(super) struct Maps {
    /// One map; without it, all
    name: Option<String>,
    /// One instance; without it, all on this host
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Where the BPF file system is mounted
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf")]
    bpffs: PathBuf,
    /// Print keys and values in hexadecimal; works with maps of any version
    #[arg(long)]
    raw: bool,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Maps) -> Result<(), Failure> {
    let pinned = instances(arguments)?;
    if arguments.raw {
        let maps = gather(&pinned, arguments.name.as_deref(), Pinned::raw)?;
        return show(&maps, arguments.json, raw);
    }
    let maps = gather(&pinned, arguments.name.as_deref(), Pinned::table)?;
    show(&maps, arguments.json, decoded)
}

/// The pins that were asked for. None is an answer: no gateway has pinned anything here.
fn instances(arguments: &Maps) -> Result<Vec<Pinned>, Failure> {
    let mut pinned = decode::find(&arguments.bpffs).map_err(|error| unreadable(&error))?;
    if let Some(instance) = &arguments.instance {
        pinned.retain(|one| one.instance == *instance);
    }
    if pinned.is_empty() {
        let whose = arguments
            .instance
            .as_ref()
            .map(|name| format!(" of instance {name:?}"));
        let (whose, bpffs) = (whose.unwrap_or_default(), arguments.bpffs.display());
        return Err(Failure::No(format!(
            "no maps{whose} are pinned below {bpffs}/culvert"
        )));
    }
    Ok(pinned)
}

/// Reads each map of each instance, or the one of that name.
fn gather<T>(
    pinned: &[Pinned],
    name: Option<&str>,
    read: impl Fn(&Pinned, &str) -> Result<T, BpfError>,
) -> Result<Vec<T>, Failure> {
    let names: Vec<&str> = name.map_or_else(|| decode::names().collect(), |name| vec![name]);
    let all = pinned
        .iter()
        .flat_map(|one| names.iter().map(move |name| (one, *name)))
        // A name that nobody has is an error, and said to be one.
        .filter(|(one, name)| {
            one.has(name) || !decode::names().any(|known| known.eq_ignore_ascii_case(name))
        });
    all.map(|(one, name)| read(one, name).map_err(|error| unreadable(&error)))
        .collect()
}

fn unreadable(error: &BpfError) -> Failure {
    let text = format!("{error}: {}", error.remedy());
    match error {
        BpfError::UnknownMap { .. } => {
            let names: Vec<&str> = decode::names().collect();
            Failure::Usage(format!("{error}: known are {}", names.join(", ")))
        }
        _ => Failure::Unreachable(text),
    }
}

fn show<T: Serialize>(
    maps: &[T],
    as_json: bool,
    render: impl Fn(&T) -> String,
) -> Result<(), Failure> {
    if as_json {
        return print(&json(&maps));
    }
    print(&maps.iter().map(render).collect::<Vec<_>>().join("\n"))
}

fn decoded(map: &Table) -> String {
    let Table {
        instance,
        abi,
        map: name,
        kind,
        capacity,
        columns,
        rows,
    } = map;
    let used = format::count(rows.len() as u64, "row");
    let title = format!("{instance} {name} ({kind}, ABI {abi})");
    let headers = columns.iter().map(|column| column.to_uppercase()).collect();
    let cells = rows
        .iter()
        .map(|row| row.iter().map(ToString::to_string).collect());
    if rows.is_empty() {
        return format!("{title}: empty, capacity {capacity}\n");
    }
    format!(
        "{title}: {used}, capacity {capacity}\n{}",
        table_of(headers, cells)
    )
}

fn raw(map: &RawTable) -> String {
    let RawTable {
        instance,
        abi,
        map: name,
        key_bytes,
        value_bytes,
        entries,
    } = map;
    let title = format!(
        "{instance} {name} (ABI {abi}): {} entries, keys of {key_bytes} bytes, values of {value_bytes}",
        entries.len()
    );
    let rows = map.hex().map(|(key, value)| vec![key, value]);
    format!(
        "{title}\n{}",
        table_of(vec!["KEY".into(), "VALUE".into()], rows)
    )
}
