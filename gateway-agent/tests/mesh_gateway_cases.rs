//! What a mesh gateway makes of a mesh, case by case: every case of `tests/mesh/cases.json`, or
//! of the file that `CULVERT_CASES` names, gives exactly the routes that it expects.
//!
//! The file says itself what its keys mean (`conventions`). All failing cases are told together.

use std::path::PathBuf;

mod mesh;

#[test]
fn every_case_gives_the_routes_that_it_expects() {
    let path = std::env::var_os("CULVERT_CASES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/mesh/cases.json"),
        PathBuf::from,
    );
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|why| panic!("{} cannot be read: {why}", path.display()));
    let file = serde_json::from_str(&text)
        .unwrap_or_else(|why| panic!("{} is no JSON: {why}", path.display()));
    match mesh::run(&file) {
        Err(why) => panic!("{}: {why}", path.display()),
        Ok(outcome) => {
            let failed = outcome.wrong.len();
            let told = outcome.wrong.join("\n\n");
            assert!(
                failed == 0,
                "{}: {failed} of {} cases failed\n\n{told}\n",
                path.display(),
                outcome.cases
            );
        }
    }
}
