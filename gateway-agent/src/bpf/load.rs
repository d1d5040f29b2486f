//! Loads the object: on a cold start into pins aside, on a restart onto the maps that are pinned.

use std::{fs::File, path::Path};

use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    maps::MapInfo,
    programs::{Program, SkLookup, links::FdLink},
};

use super::{
    BpfError, Settings,
    layout::{self, Layout},
    object,
    pins::{Pins, STEER_LINK},
};

const STEER: &str = "steer";

/// What became of a load: the object's handle is needed for its log only, the pins hold the rest.
pub(crate) struct Loaded {
    pub(crate) object: Ebpf,
    /// Whether the maps were there before.
    pub(crate) adopted: bool,
}

/// Loads, attaches to this thread's network namespace and pins.
pub(crate) fn load(settings: &Settings, pins: &Pins) -> Result<Loaded, BpfError> {
    let bytes = object::embedded().ok_or(BpfError::NoObject)?;
    let current = pins.current();
    if current.exists() {
        let sizes = adoptable(settings, &current)?;
        let mut object = open(bytes, &current, &sizes)?;
        pin(attach(&mut object)?, &pins.next_link())?;
        pins.replace_link()?;
        return Ok(Loaded {
            object,
            adopted: true,
        });
    }
    let aside = pins.aside()?;
    let filled = fill(settings, bytes, &aside).and_then(|object| {
        pins.activate(&aside)?;
        Ok(object)
    });
    let object = filled.inspect_err(|_| pins.discard(&aside))?;
    Ok(Loaded {
        object,
        adopted: false,
    })
}

/// Cold start: makes and pins maps and link in an empty directory.
fn fill(settings: &Settings, bytes: &[u8], aside: &Path) -> Result<Ebpf, BpfError> {
    let sizes: Vec<_> = layout::ALL
        .iter()
        .map(|map| map.entries(settings))
        .collect();
    let mut object = open(bytes, aside, &sizes)?;
    pin(attach(&mut object)?, &aside.join(STEER_LINK))?;
    Ok(object)
}

/// Entries of the pinned maps, after a look that each is what this ABI says.
fn adoptable(settings: &Settings, current: &Path) -> Result<Vec<u32>, BpfError> {
    let entries = |map: &Layout| {
        let entries = check(map, &current.join(map.name))?.max_entries();
        let wanted = map.entries(settings);
        if entries != wanted {
            let map = map.name;
            tracing::warn!(
                map,
                entries,
                wanted,
                "pinned map keeps its size until `culvert detach`"
            );
        }
        Ok(entries)
    };
    layout::ALL.iter().map(entries).collect()
}

/// Compares a pin with its layout: the loader takes any map that is pinned under a name.
fn check(map: &Layout, path: &Path) -> Result<MapInfo, BpfError> {
    let info =
        MapInfo::from_pin(path).map_err(|error| BpfError::map(map.name, "open pinned", error))?;
    let kind = info.map_type().map_or(0, |kind| kind as u32);
    let found = layout::difference(map, kind, info.key_size(), info.value_size());
    match found {
        None => Ok(info),
        Some(found) => Err(BpfError::ForeignMap {
            path: path.to_owned(),
            found,
            expected: map.describe(),
        }),
    }
}

fn open(bytes: &[u8], directory: &Path, sizes: &[u32]) -> Result<Ebpf, BpfError> {
    let mut loader = EbpfLoader::new();
    for (map, entries) in layout::ALL.iter().zip(sizes) {
        loader
            .map_pin_path(map.name, directory.join(map.name))
            .map_max_entries(map.name, *entries);
    }
    for map in &layout::SPLICE {
        loader.map_max_entries(map.name, map.least());
    }
    loader
        .load(bytes)
        .map_err(|error| BpfError::program(STEER, "load the object of", error))
}

/// Loads `steer` and attaches it to the network namespace of this thread.
fn attach(object: &mut Ebpf) -> Result<FdLink, BpfError> {
    let failed = |operation| move |error| BpfError::program(STEER, operation, error);
    let program: &mut SkLookup = object
        .program_mut(STEER)
        .ok_or_else(|| BpfError::program(STEER, "find", "the object lacks it"))?
        .try_into()
        .map_err(|error| BpfError::program(STEER, "convert", error))?;
    program.load().map_err(failed("load"))?;
    let namespace = File::open("/proc/thread-self/ns/net")
        .map_err(|error| BpfError::program(STEER, "find the network namespace for", error))?;
    let id = program.attach(namespace).map_err(failed("attach"))?;
    Ok(program
        .take_link(id)
        .map_err(failed("take the link of"))?
        .into())
}

fn pin(link: FdLink, path: &Path) -> Result<(), BpfError> {
    link.pin(path)
        .map(drop)
        .map_err(|error| BpfError::program(STEER, "pin the link of", error))
}

/// Size of a program on the running kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramSize {
    /// Name of the program.
    pub name: String,
    /// Instructions after the verifier's rewriting.
    pub instructions: u32,
    /// Instructions that the verifier walked; none before Linux 5.16.
    pub verified: Option<u32>,
}

/// Loads every program of an object without attaching or pinning, and measures it.
pub fn sizes(bytes: &[u8]) -> Result<Vec<ProgramSize>, BpfError> {
    let mut object = EbpfLoader::new()
        .verifier_log_level(VerifierLogLevel::STATS)
        .load(bytes)
        .map_err(|error| BpfError::program(STEER, "load the object of", error))?;
    let mut sizes = Vec::new();
    for (name, program) in object.programs_mut() {
        let failed = |operation| move |error| BpfError::program(STEER, operation, error);
        match program {
            Program::SkLookup(program) => program.load().map_err(failed("load"))?,
            Program::SkSkb(program) => program.load().map_err(failed("load"))?,
            Program::SocketFilter(program) => program.load().map_err(failed("load"))?,
            _ => {
                return Err(BpfError::program(
                    STEER,
                    "convert",
                    "it is of no known kind",
                ));
            }
        }
        let info = program.info().map_err(failed("measure"))?;
        // An instruction is eight bytes.
        let instructions = info.size_translated().unwrap_or(0) / 8;
        let verified = info.verified_instruction_count();
        sizes.push(ProgramSize {
            name: name.to_owned(),
            instructions,
            verified,
        });
    }
    sizes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(sizes)
}
