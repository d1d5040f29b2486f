use std::path::Path;

use super::*;
use crate::control::snapshot::Limits;
use crate::ops::fixtures::snapshot;
use crate::sys::descriptors::budget;

#[test]
fn a_connection_limit_that_does_not_fit_fails_and_says_what_to_raise() {
    let limits = Limits {
        connections: Some(90_000),
        ..Limits::default()
    };
    let finding = limits::connections(&budget(1024, limits.connections), &limits);
    assert_eq!(finding.state, State::Fail);
    assert!(finding.remedy.unwrap().contains("LimitNOFILE="));
    let finding = limits::connections(&budget(1024, None), &Limits::default());
    assert_eq!(finding.state, State::Warn);
}

#[test]
fn an_accept_queue_longer_than_the_kernels_bound_is_a_warning() {
    assert_eq!(limits::backlog(4096, 4096).state, State::Ok);
    assert_eq!(limits::backlog(128, 4096).state, State::Warn);
}

#[test]
fn an_address_of_another_host_fails_in_both_families() {
    assert_eq!(
        listeners::local("x", "127.0.0.1:443".parse().unwrap(), &[]).state,
        State::Ok
    );
    for foreign in ["192.0.2.1:443", "[2001:db8::1]:443"] {
        let finding = listeners::local("x", foreign.parse().unwrap(), &[]);
        assert_eq!(finding.state, State::Fail, "{finding:?}");
    }
}

#[test]
fn a_missing_directory_is_fine_where_it_can_be_made() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("not/yet/there.sock");
    assert_eq!(files::admin_socket(&socket).state, State::Ok);
    assert_eq!(
        files::admin_socket(Path::new("/dev/null/x.sock")).state,
        State::Fail
    );
}

#[test]
fn a_resolver_without_servers_is_seen() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(files::resolver(file.path()).state, State::Warn);
    std::fs::write(file.path(), "search x\nnameserver 192.0.2.53\n").unwrap();
    assert_eq!(files::resolver(file.path()).state, State::Ok);
    assert_eq!(
        files::resolver(Path::new("/nonexistent")).state,
        State::Fail
    );
}

#[test]
fn what_steering_lacks_fails_only_where_it_is_needed() {
    use crate::bpf::probe::Level;
    let weigh = |need: steer::Need| [Level::Ok, Level::Warn, Level::Fail].map(|l| need.weigh(l));
    assert_eq!(
        weigh(steer::Need::Nothing),
        [State::Ok, State::Note, State::Note]
    );
    assert_eq!(
        weigh(steer::Need::Steering),
        [State::Ok, State::Warn, State::Fail]
    );
}

#[test]
fn everything_that_needs_doing_has_a_remedy() {
    for finding in findings(&snapshot(Vec::new())) {
        assert_eq!(
            finding.state == State::Ok,
            finding.remedy.is_none(),
            "{finding:?}"
        );
    }
}
