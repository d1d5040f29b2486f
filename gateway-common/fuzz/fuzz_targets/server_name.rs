//! Any bytes as a server name: what is accepted is lower case, within its bounds, and stays itself.
#![no_main]

use std::net::IpAddr;

use gateway_common::limits::{MAX_LABEL, MAX_SERVER_NAME};
use gateway_common::wire::ServerName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(name) = ServerName::try_from(input) else {
        return;
    };
    let text = name.as_str();
    assert!((1..=MAX_SERVER_NAME).contains(&text.len()));
    assert!(
        text.split('.')
            .all(|label| (1..=MAX_LABEL).contains(&label.len()))
    );
    assert!(
        !text
            .bytes()
            .any(|byte| byte.is_ascii_uppercase() || byte <= b' ' || byte > b'~')
    );
    assert!(text.parse::<IpAddr>().is_err());
    assert!(
        input
            .strip_suffix(b".")
            .unwrap_or(input)
            .eq_ignore_ascii_case(text.as_bytes())
    );
    assert_eq!(text.parse(), Ok(name));
    assert_eq!(format!("{}.", text.to_uppercase()).parse(), Ok(name));
});
