//! The chain of decisions, word by word.

use std::time::Instant;

use gateway_agent::config::Config;
use gateway_agent::control::Snapshot;
use gateway_agent::control::explain::explain;

fn explained(text: &str, name: &str, from: Option<&str>) -> String {
    let snapshot = Snapshot::build(
        &Config::parse("culvert.hcl", text.to_owned()).unwrap(),
        None,
    );
    let from = from.map(|from| from.parse().unwrap());
    explain(&snapshot, name, from, None, Instant::now()).to_string()
}

#[test]
fn explain_tells_the_whole_chain() {
    let text = "listener \"tls\" { address = \"127.0.0.1:8443\" deny = \"10.6.0.0/16\" }\n\
                route \"*.shop.test\" { endpoints = [\"127.0.0.1:1\"] allow = \"10.0.0.0/8\" }\n";
    assert_eq!(
        explained(text, "Web.Shop.test.", Some("10.1.2.3")),
        "name             ok  Web.Shop.test. is compared as web.shop.test\n\
         listener         ok  \"tls\", the only one  (culvert.hcl:1:10)\n\
         listener access  ok  10.1.2.3 is allowed as no deny covers it\n\
         route            ok  \"*.shop.test\" by wildcard match  (culvert.hcl:2:7)\n\
         route access     ok  10.1.2.3 is allowed by 10.0.0.0/8\n\
         endpoint         ok  127.0.0.1:1 by round_robin\n\
         \x20                    127.0.0.1:1  weight 1  active 0  failures 0  usable\n\
         engine           ok  the first that fits of: copy\n\
         allowed: forwarded to 127.0.0.1:1"
    );
    for (name, from, end) in [
        (
            "web.shop.test",
            Some("10.6.1.1"),
            "refused: 10.6.1.1 is denied by 10.6.0.0/16",
        ),
        (
            "web.shop.test",
            Some("fd00::1"),
            "refused: fd00::1 is denied as no allow covers it",
        ),
        (
            "shop.test",
            None,
            "refused: no route has this server name and the default is to reject",
        ),
        (
            "",
            None,
            "refused: the hello has no server name and the default is to reject",
        ),
        ("10.0.0.1", None, "refused: `10.0.0.1` is an address"),
    ] {
        let explained = explained(text, name, from);
        assert!(explained.ends_with(end), "{explained}");
    }
}
