use std::io::Write;
use std::sync::{Arc, Condvar, Mutex};

use gateway_common::wire::HelloError;
use proptest::prelude::*;

use super::*;
use crate::control::snapshot::EngineKind;
use crate::ops::fixtures::{record, route};
use crate::proxy::splice::fallback::{Fallback, Why};

#[test]
fn the_text_line_is_the_golden_one() {
    let line = text::line(&record(&route("web.example.com")));
    assert_eq!(
        line,
        "time=2023-11-14T22:13:20.123Z conn=7 listener=tls src=192.0.2.7:50000 peer=- \
         dst=[2001:db8::1]:8443 sni=web.example.com route=web.example.com match=exact \
         endpoint=10.2.0.2:443 engine=copy engine_notes=- reason=finished detail=- sent=4321 received=1234 \
         ms=1500 hello_ms=0 connect_ms=2 alpn=h2,http/1.1 ech=no pq=yes \
         ja4=t13d1516h2_8daaf6152771_e5627efa2ab1 version=tls1.3 rtt_us=250 retrans=0 \
         upstream_rtt_us=90 upstream_retrans=3 hello_bytes=517 records=1 attempts=1"
    );
}

#[test]
fn a_refusal_before_the_hello_has_dashes_and_its_detail() {
    let mut record = record(&route("x"));
    record.hello = None;
    record.route = None;
    record.reason = CloseReason::Hello(HelloError::TwoNames);
    let line = text::line(&record);
    assert!(line.contains(" sni=- route=- match=- "), "{line}");
    assert!(line.contains(" reason=two_names detail=\""), "{line}");
}

#[test]
fn a_route_that_refuses_tells_its_name_and_why() {
    let mut route = route("x");
    Arc::get_mut(&mut route).unwrap().refused = Some("exported with protocol http".into());
    let mut record = record(&route);
    record.reason = CloseReason::RouteRefused;
    let line = text::line(&record);
    let told = " reason=route_refused detail=\"exported with protocol http\"";
    assert!(line.contains(" route=x ") && line.contains(told), "{line}");
}

#[test]
fn why_better_engines_were_not_used_is_one_field() {
    let mut record = record(&route("x"));
    let fallback = |engine, why| Fallback { engine, why };
    record.fallbacks = vec![
        fallback(EngineKind::Packet, Why::NotInBuild),
        fallback(
            EngineKind::Sockmap,
            Why::Refused("no, \"not\" these".into()),
        ),
    ];
    let told = r#" engine_notes="packet: not in this build,sockmap: no\\, \"not\" these" "#;
    let line = text::line(&record);
    assert!(line.contains(told), "{line}");
    let json: serde_json::Value = serde_json::from_str(&json::line(&record)).unwrap();
    let notes = ["packet: not in this build", "sockmap: no, \"not\" these"];
    assert_eq!(json["engine_notes"], serde_json::json!(notes));
}

#[test]
fn json_has_the_same_fields_in_the_same_order() {
    let record = record(&route("*.example.com"));
    let text = text::line(&record);
    let json = json::line(&record);
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed["sni"], "web.example.com");
    assert_eq!(parsed["peer"], serde_json::Value::Null);
    let mut rest = json.as_str();
    for pair in text.split(' ') {
        let key = format!("\"{}\":", pair.split_once('=').unwrap().0);
        rest = rest
            .split_once(&key)
            .unwrap_or_else(|| panic!("{key} is missing or moved"))
            .1;
    }
}

proptest! {
    /// Whatever a hello holds, the line stays one line of printable ASCII with the same fields.
    #[test]
    fn no_hello_can_break_the_text_line(alpn in prop::collection::vec(any::<String>(), 0..4)) {
        let mut record = record(&route("x"));
        record.hello.as_mut().unwrap().alpn = alpn;
        let line = text::line(&record);
        prop_assert!(line.chars().all(|c| (' '..='~').contains(&c)), "{}", line);
        prop_assert_eq!(split(&line).len(), fields::fields(&record).len(), "{}", line);
    }

    /// The same of JSON, and the strings survive.
    #[test]
    fn no_hello_can_break_the_json_line(alpn in prop::collection::vec(any::<String>(), 0..4)) {
        let mut record = record(&route("x"));
        record.hello.as_mut().unwrap().alpn = alpn.clone();
        let line = json::line(&record);
        prop_assert!(line.chars().all(|c| (' '..='~').contains(&c)), "{}", line);
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(&parsed["alpn"], &serde_json::json!(alpn));
    }
}

/// Splits a line as a reader would: at spaces outside of quotes.
fn split(line: &str) -> Vec<String> {
    let (mut pairs, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for c in line.chars() {
        if c == ' ' && !quoted {
            pairs.push(String::new());
            continue;
        }
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        pairs.last_mut().unwrap().push(c);
    }
    pairs
}

#[test]
fn lines_are_written_flushed_and_counted_at_the_end() {
    let output = Shared::default();
    let log = AccessLog::new(Form::Text, Box::new(output.clone())).unwrap();
    let route = route("x");
    for _ in 0..1000 {
        log.closed(&record(&route));
    }
    log.finish(Duration::from_secs(10));
    assert_eq!(output.text().lines().count(), 1000);
    assert_eq!(log.dropped().count(), 0);
}

#[test]
fn the_form_changes_at_run_time_and_off_writes_nothing() {
    let output = Shared::default();
    let log = AccessLog::new(Form::Off, Box::new(output.clone())).unwrap();
    log.closed(&record(&route("x")));
    log.set_form(Form::Json);
    log.closed(&record(&route("x")));
    log.finish(Duration::from_secs(10));
    assert!(output.text().starts_with("{\"time\":"));
    assert_eq!(output.text().lines().count(), 1);
}

#[test]
fn a_bare_connect_is_no_line() {
    let output = Shared::default();
    let log = AccessLog::new(Form::Text, Box::new(output.clone())).unwrap();
    let mut bare = record(&route("x"));
    bare.reason = CloseReason::BareConnect;
    log.closed(&bare);
    log.finish(Duration::from_secs(10));
    assert_eq!(output.text(), "");
}

#[test]
fn a_stuck_reader_costs_lines_and_never_time() {
    let output = Shared::default();
    *output.0.stuck.lock().unwrap() = true;
    let log = AccessLog::new(Form::Text, Box::new(output.clone())).unwrap();
    let record = record(&route("x"));
    let many = 25_000;
    for _ in 0..many {
        log.closed(&record);
    }
    log.finish(Duration::from_millis(10));
    assert!(log.dropped().count() > 0);
    assert!(log.dropped().count() < many);
    output.release();
}

/// An output that tests can read, and hold up.
#[derive(Clone, Default)]
struct Shared(Arc<State>);

#[derive(Default)]
struct State {
    written: Mutex<Vec<u8>>,
    stuck: Mutex<bool>,
    freed: Condvar,
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.written.lock().unwrap().clone()).unwrap()
    }

    fn release(&self) {
        *self.0.stuck.lock().unwrap() = false;
        self.0.freed.notify_all();
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let stuck = self.0.stuck.lock().unwrap();
        drop(self.0.freed.wait_while(stuck, |stuck| *stuck).unwrap());
        self.0.written.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
