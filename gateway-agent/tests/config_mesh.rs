//! The mesh's files: every file of `tests/config/mesh/good` is taken, and every one of `bad`
//! refused with the text beside it, each as the only file of a source. `BLESS=1` writes these
//! texts anew, to be read before they are committed.
#![expect(clippy::unwrap_used, reason = "a test's way to fail")]

mod fixtures;

use std::fs;
use std::path::{Path, PathBuf};

use gateway_agent::config::Config;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/mesh")
}

fn parse(path: &Path) -> Result<Config, String> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let main = fs::read_to_string(folder().join("culvert.hcl")).unwrap();
    let file = (format!("mesh.d/{name}"), fs::read_to_string(path).unwrap());
    Config::parse_all(("culvert.hcl", main), vec![file]).map_err(|errors| errors.to_string())
}

#[test]
fn bad_files_are_refused_with_the_expected_text() {
    fixtures::refused("mesh/bad", parse);
}

#[test]
fn good_files_are_taken() {
    for path in fixtures::files("mesh/good") {
        if let Err(errors) = parse(&path) {
            panic!("{}:\n{errors}", path.display());
        }
    }
}

#[test]
fn every_hole_of_a_file_is_an_answer_and_no_panic() {
    let main = fs::read_to_string(folder().join("culvert.hcl")).unwrap();
    for path in fixtures::files("mesh/good") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        // Each third: the others fail alike, and time is short.
        for (at, _) in text.char_indices().step_by(3) {
            let mut hole = text.clone();
            hole.remove(at);
            for broken in [hole, text[..at].to_owned()] {
                let main = ("culvert.hcl", main.clone());
                let file = (format!("mesh.d/{name}"), broken);
                drop(Config::parse_all(main, vec![file]).map_err(|errors| errors.count()));
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_definition_makes_the_reader_panic(
        tokens in proptest::collection::vec(
            proptest::sample::select(vec![
                "service", "services", "node", "check", "datacenter", "peering", "partition", "proxy",
                "connect", "sidecar_service", "upstreams", "federation_state", "config_entries",
                "bootstrap", "instance", "tagged_addresses", "lan", "meta", "ports", "weights", "\"a\"",
                "\"mesh-gateway\"", "\"connect-proxy\"", "name =", "kind =", "id =", "port =",
                "address =", "alias_service =", "service_id =", "status =", "\"critical\"", "\"10.0.0.1\"",
                "1", "{", "{", "}", "}", "[", "]", ",", "=", "\n", "null", "true",
            ]),
            0..60,
        ),
    ) {
        let main = fs::read_to_string(folder().join("culvert.hcl")).unwrap();
        let file = ("mesh.d/a.hcl".to_owned(), tokens.join(" "));
        let main = ("culvert.hcl", main);
        drop(Config::parse_all(main, vec![file]).map_err(|errors| errors.to_string()));
    }
}
