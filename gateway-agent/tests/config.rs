//! The configuration's errors, word by word: every file of `tests/config/bad` is refused with
//! the text beside it (`NAME.txt`). `BLESS=1` writes these texts anew, to be read before they are
//! committed.
#![expect(clippy::unwrap_used, reason = "a test's way to fail")]

mod fixtures;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use gateway_agent::config::Config;
use gateway_agent::control::Snapshot;

fn parse(path: &Path) -> Result<Config, String> {
    let name = path.file_name().unwrap().to_str().unwrap();
    Config::parse(name, fs::read_to_string(path).unwrap()).map_err(|errors| errors.to_string())
}

#[test]
fn bad_files_are_refused_with_the_expected_text() {
    fixtures::refused("bad", parse);
}

#[test]
fn people_see_the_first_hundred_errors_and_the_count_of_all() {
    let text: String = (0..1_000).map(|n| format!("setting_{n} = 1\n")).collect();
    let errors = Config::parse("culvert.hcl", text).unwrap_err();
    let shown = errors.to_string();
    assert_eq!(shown.matches("error: ").count(), 100);
    assert!(
        shown.contains("and 901 more"),
        "{}",
        &shown[shown.len() - 200..]
    );
    assert_eq!(errors.items().len(), errors.count());
    assert_eq!(errors.count(), 1_001, "and that there is no listener");
}

#[test]
fn good_files_are_taken() {
    for path in fixtures::files("good") {
        if let Err(errors) = parse(&path) {
            panic!("{}:\n{errors}", path.display());
        }
    }
}

/// Places differ between the two, all else must not.
#[test]
fn json_of_the_same_shape_means_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/good");
    let [hcl, json] = ["everything.hcl", "everything.json"].map(|name| {
        let config = parse(&folder.join(name)).unwrap();
        let snapshot = Snapshot::build(&config, None);
        let shown = format!("{snapshot:#?}");
        let mut lines: Vec<_> = shown.lines().map(str::to_owned).collect();
        lines.retain(|line| {
            let line = line.trim_start();
            // The look-up index has no order of its own.
            !["file:", "line:", "column:", "\"", "*"]
                .iter()
                .any(|skip| line.starts_with(skip))
        });
        (lines.join("\n"), format!("{:?}", config.report()))
    });
    assert_eq!(hcl, json);
}

#[test]
fn every_prefix_and_every_hole_of_a_file_is_an_answer_and_no_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/good");
    for name in ["everything.hcl", "everything.json"] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        for (at, _) in text.char_indices() {
            drop(Config::parse(name, text[..at].to_owned()).map_err(|errors| errors.to_string()));
            let mut hole = text.clone();
            hole.remove(at);
            drop(Config::parse(name, hole).map_err(|errors| errors.to_string()));
        }
    }
}

#[test]
fn a_reload_keeps_the_clusters_of_unchanged_routes() {
    let text = |weight| {
        format!(
            "listener \"a\" {{ address = \"127.0.0.1:1\" }}\n\
             route \"same.test\" {{ endpoints = [\"127.0.0.1:2\"] }}\n\
             route \"other.test\" {{ endpoints = [{{ address = \"127.0.0.1:3\", weight = {weight} }}] }}\n"
        )
    };
    let first = Snapshot::build(&Config::parse("a.hcl", text(1)).unwrap(), None);
    let busy = first.routes.get("other.test").unwrap().cluster.endpoints()[0].begin();
    let second = Snapshot::build(&Config::parse("a.hcl", text(2)).unwrap(), Some(&first));

    let cluster =
        |snapshot: &Snapshot, name| Arc::clone(&snapshot.routes.get(name).unwrap().cluster);
    assert!(Arc::ptr_eq(
        &cluster(&first, "same.test"),
        &cluster(&second, "same.test")
    ));
    let endpoint = Arc::clone(&cluster(&second, "other.test").endpoints()[0]);
    assert_eq!((endpoint.weight, endpoint.active()), (2, 1));
    drop(busy);
    assert_eq!(endpoint.active(), 0);
}

#[test]
fn a_report_names_every_setting_and_tells_defaults() {
    let text = "listener \"a\" { address = \"127.0.0.1:1\" }\nlimits { backlog = 1 }\n";
    let report = Config::parse("a.hcl", text.to_owned()).unwrap().report();
    let given: Vec<_> = report.iter().filter(|setting| !setting.default).collect();
    assert_eq!(given.len(), 1);
    assert_eq!(
        (given[0].name.as_str(), given[0].value.as_str()),
        ("limits.backlog", "1")
    );
    let find = |name| {
        &report
            .iter()
            .find(|setting| setting.name == name)
            .unwrap()
            .value
    };
    assert_eq!(find("limits.idle_timeout"), "\"1h\"");
    assert_eq!(find("limits.hello_size"), "\"64KiB\"");
    assert_eq!(find("admin.socket"), "\"/run/culvert/default.sock\"");
    assert_eq!(find("log.level"), "\"info\"");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(
        tokens in proptest::collection::vec(
            proptest::sample::select(vec![
                "route", "listener", "\"a.test\"", "{", "}", "[", "]", "=", ":", ",", "\n", " ", "\"",
                "\\", "${", "%{", "$${", "<<E", "E", "1", "-", "1.5e", "true", "null", "/*", "*/", "#",
                "//", "ü", "\u{feff}", "\r\n", "address", "endpoints", "127.0.0.1:1", "(", "+", "\0",
            ]),
            0..40,
        ),
        json in proptest::bool::ANY,
    ) {
        let name = if json { "a.json" } else { "a.hcl" };
        drop(Config::parse(name, tokens.concat()).map_err(|errors| errors.to_string()));
    }
}
