//! Pins of the maps, for `culvert maps` to look through. Nothing is adopted from them.

use std::{fs, io, path::PathBuf};

use gateway_common::abi::ABI;

use super::super::{BpfError, Settings, layout, pins};
use super::maps::Maps;

/// Beginning of the name of the directory with the pins, before the ABI's number.
pub const PINS: &str = "splice-";

/// Pins every map in place of those of a former agent.
pub(super) fn open(maps: &Maps, settings: &Settings) -> Result<(), BpfError> {
    if !pins::valid_instance(&settings.instance) {
        return Err(BpfError::Instance {
            name: settings.instance.clone(),
        });
    }
    if !pins::is_bpffs(&settings.bpffs) {
        return Err(BpfError::NotMounted {
            path: settings.bpffs.clone(),
        });
    }
    close(settings)?;
    let directory = directory(settings);
    fs::create_dir_all(&directory).map_err(failed("make", &directory))?;
    let all = [
        (layout::PEERS, &maps.peers),
        (layout::STREAMS, &maps.streams),
        (layout::FORWARDED, &maps.forwarded),
        (layout::SPLICE_STATS, &maps.stats),
        (layout::SPLICE_ROUTES, &maps.routes),
        (layout::SPLICE_COUNTS, &maps.counts),
    ];
    all.into_iter().try_for_each(|(layout, map)| {
        map.pin(directory.join(layout.name))
            .map_err(|error| BpfError::map(layout.name, "pin", error))
    })
}

/// Removes the pins of an instance; none is fine.
///
/// # Errors
/// No right to.
pub fn close(settings: &Settings) -> Result<(), BpfError> {
    let directory = directory(settings);
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", &directory)(error))
        }
        _ => Ok(()),
    }
}

fn directory(settings: &Settings) -> PathBuf {
    let instance = settings.bpffs.join("culvert").join(&settings.instance);
    instance.join(format!("{PINS}{ABI}"))
}

fn failed(operation: &'static str, path: &std::path::Path) -> impl Fn(io::Error) -> BpfError {
    let path = path.to_owned();
    move |source| BpfError::Pin {
        path: path.clone(),
        operation,
        source,
    }
}
