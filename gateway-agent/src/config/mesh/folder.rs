//! Folder: the files of a source, found and read. All else about them is pure.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::settings::FilesSource;
use crate::config::diagnostic::Diagnostic;
use crate::config::read_text;
use crate::config::source::Sources;

/// Adds the files of all sources to the texts, in the order of their names. What cannot be read
/// is told where the source's path stands.
pub(in crate::config) fn add(
    sources: &mut Sources,
    folders: &[FilesSource],
    errors: &mut Vec<Diagnostic>,
) {
    for folder in folders {
        match files(&folder.path) {
            Err(error) => {
                let message = format!("cannot read {}: {error}", folder.path.display());
                let wrong = Diagnostic::new(folder.at, message, "expected a directory");
                errors.push(wrong.help(
                    "create the directory, or correct the path, which starts at the folder of \
                     this file",
                ));
            }
            // More likely a folder that is being put in place than a mesh of nothing: to take it as
            // that would take every route away.
            Ok(files) if files.is_empty() => {
                let message = format!("{} holds no file to read", folder.path.display());
                let expected = "expected a directory with at least one `*.hcl` or `*.json`";
                let wrong = Diagnostic::new(folder.at, message, expected);
                errors.push(wrong.help("for a mesh of nothing, put an empty file into it"));
            }
            Ok(files) => {
                for file in files {
                    if let Err(message) = add_one(sources, &file) {
                        let message = format!("{}: {message}", file.display());
                        let expected = "a file of this directory";
                        errors.push(Diagnostic::new(folder.at, message, expected));
                    }
                }
            }
        }
    }
}

fn add_one(sources: &mut Sources, file: &Path) -> Result<(), String> {
    let text = read_text(file)?;
    if sources.add(&file.to_string_lossy(), text) {
        Ok(())
    } else {
        Err("cannot read the configuration: all files together are bigger than 1 GiB".to_owned())
    }
}

/// Regular files, or links to such, that say what language they are in and are not hidden.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let language = name.ends_with(".hcl") || name.ends_with(".json");
        if name.starts_with('.') || !language {
            continue;
        }
        let path = entry.path();
        // A link that leads nowhere is listed, so that reading it says so.
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            continue;
        }
        files.push(path);
    }
    files.sort();
    Ok(files)
}
