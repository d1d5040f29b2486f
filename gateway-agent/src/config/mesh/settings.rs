//! What the host's own file says about the mesh, beside the gateway: settings and sources.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fields::what;
use crate::config::diagnostic::Diagnostic;
use crate::config::labelled;
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::config::value;
use crate::mesh::dial::ModeRules;
use crate::mesh::intentions::Action;
use crate::mesh::name::Name;

/// Settings of the mesh at the top of the host's file.
pub(in crate::config) struct Top {
    pub(super) trust_domain: Option<Arc<str>>,
    pub(super) domain: Arc<str>,
    pub(super) partition: Name,
    pub(super) primary: Option<(Name, Span)>,
    pub(super) policy: Action,
    pub(super) rules: ModeRules,
}

/// A directory of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesSource {
    /// Its path, as it is opened: seen from the folder of the host's file.
    pub path: PathBuf,
    /// Where its path stands.
    pub(crate) at: Span,
}

/// Reads the settings.
pub(in crate::config) fn read(top: &mut Reader<'_, '_>) -> Top {
    Top {
        trust_domain: top
            .parsed("trust_domain", value::route_name)
            .map(Into::into),
        domain: top
            .parsed("domain", value::route_name)
            .map_or_else(|| "consul".into(), Into::into),
        partition: top.name_or_default("partition"),
        primary: top.name("primary_datacenter"),
        policy: top
            .word("default_intention_policy", POLICIES)
            .unwrap_or(Action::Deny),
        rules: top.word("mode_rules", RULES).unwrap_or_default(),
    }
}

const POLICIES: &[(&str, Action)] = &[("deny", Action::Deny), ("allow", Action::Allow)];

const RULES: &[(&str, ModeRules)] = &[("1.14", ModeRules::V1_14), ("1.8", ModeRules::V1_8)];

/// Reads the `source` blocks. `main` is the path of the host's file.
pub(in crate::config) fn sources(top: &mut Reader<'_, '_>, main: &Path) -> Vec<FilesSource> {
    let folder = main.parent().unwrap_or_else(|| Path::new(""));
    let mut sources: Vec<FilesSource> = Vec::new();
    for ((label, at), table) in labelled(top, "source", "source \"files\" { ... }") {
        let mut reader = Reader::new(table, at, what("source", Some(label)), top.errors());
        if label != "files" {
            let message = format!("there is no source \"{label}\"");
            let wrong = Diagnostic::new(at, message, "expected `source \"files\"`");
            reader.error(wrong.nearest(label, ["files"].into_iter()));
            continue;
        }
        let path = reader.string("path");
        if path.is_none() && !reader.has("path") {
            reader.missing("path", "expected `path = \"mesh.d\"`, a directory");
        }
        reader.finish();
        let Some((path, at)) = path else { continue };
        if path.is_empty() || path.contains('\0') {
            let message = "the path of the source is not usable";
            top.error(Diagnostic::new(at, message, "expected a directory"));
            continue;
        }
        let path = folder.join(path);
        if let Some(before) = sources.iter().find(|source| source.path == path) {
            let message = format!("two sources read {}", path.display());
            let again = Diagnostic::new(at, message, "expected each directory once");
            top.error(again.also(before.at, "the first one"));
            continue;
        }
        sources.push(FilesSource { path, at });
    }
    sources
}

/// A mesh needs these two settings, which stand nowhere else.
pub(in crate::config) fn require(top: &mut Reader<'_, '_>) {
    if !top.has("datacenter") {
        top.missing(
            "datacenter",
            "expected `datacenter = \"dc1\"`, the one we are in",
        );
    }
    if !top.has("trust_domain") {
        let expected = "expected such as `trust_domain = \"<uuid>.consul\"`, that of the mesh's CA";
        top.missing("trust_domain", expected);
    }
}

/// The primary datacenter: as either file says, else the one that we are in.
pub(super) fn primary(
    top: Option<(Name, Span)>,
    block: Option<(Name, Span)>,
    here: &Name,
    errors: &mut Vec<Diagnostic>,
) -> Name {
    if let (Some((top, at)), Some((block, block_at))) = (&top, &block)
        && top != block
    {
        let message = format!("the primary datacenter is {top}, or {block}");
        let both = Diagnostic::new(*block_at, message, "expected one of them");
        errors.push(both.also(*at, "the other one"));
    }
    let said = top.or(block).map(|(name, _)| name);
    said.unwrap_or_else(|| here.clone())
}
