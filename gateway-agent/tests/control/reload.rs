//! Reloads by order and by file change, and what refuses them.

use std::path::Path;

use gateway_agent::control::Control;

use crate::rig::{DEADLINE, File, LISTENER, Notes, eventually, has_route, with_route};

#[tokio::test]
async fn a_reload_adds_swaps_removes_and_rechecks_in_this_order() {
    let file = File::new(LISTENER);
    let control = Control::load(&file.path).unwrap();
    let notes = Notes::default();
    let _running = control.start(Box::new(notes.clone())).await.unwrap();
    assert_eq!(notes.take(), ["add 1", "remove 1", "recheck 1"]);
    file.write(&with_route("a.test"));
    assert_eq!(control.reload().await.unwrap(), 2);
    assert_eq!(notes.take(), ["add 2", "remove 2", "recheck 2"]);
    assert!(has_route(&control, "a.test"));
}

#[tokio::test]
async fn an_unchanged_file_is_no_new_generation() {
    let file = File::new(LISTENER);
    let control = Control::load(&file.path).unwrap();
    let _running = control.start(Box::new(Notes::default())).await.unwrap();
    assert_eq!(control.reload().await.unwrap(), 1);
    assert!(control.last_reload().ok());
    assert_eq!(control.last_reload().good, 1);
}

#[tokio::test]
async fn a_bad_file_leaves_the_last_good_snapshot_and_says_so() {
    let file = File::new(&with_route("a.test"));
    let control = Control::load(&file.path).unwrap();
    let _running = control.start(Box::new(Notes::default())).await.unwrap();
    file.write("listener {}\nquux = 1\n");
    let errors = control.reload().await.unwrap_err();
    assert_eq!(errors.count(), 2);
    assert!(has_route(&control, "a.test"));
    let last = control.last_reload();
    assert!(!last.ok());
    assert!(last.bad > 0);
    file.write(&with_route("a.test"));
    assert_eq!(
        control.reload().await.unwrap(),
        1,
        "the good text again is the good snapshot"
    );
    assert!(control.last_reload().ok());
}

#[tokio::test]
async fn a_publisher_that_refuses_leaves_the_last_good_snapshot() {
    let file = File::new(LISTENER);
    let control = Control::load(&file.path).unwrap();
    let notes = Notes::default();
    let _running = control.start(Box::new(notes.clone())).await.unwrap();
    notes.take();
    *notes.refuse.lock().unwrap() = true;
    file.write(&with_route("a.test"));
    let errors = control.reload().await.unwrap_err();
    assert!(errors.to_string().contains("port 443 is taken"));
    assert_eq!(notes.take()[0], "add 2");
    assert_eq!(control.snapshot().generation, 1);
    *notes.refuse.lock().unwrap() = false;
    assert_eq!(
        control.reload().await.unwrap(),
        2,
        "the same text is tried again"
    );
}

#[tokio::test]
async fn what_needs_a_restart_is_refused_by_name() {
    let file = File::new(LISTENER);
    let control = Control::load(&file.path).unwrap();
    let _running = control.start(Box::new(Notes::default())).await.unwrap();
    file.write(&format!(
        "{LISTENER}instance = \"b\"\nsteer {{ bpffs = \"/mnt/bpf\" }}\nadmin {{ socket = \"/tmp/c\" }}\n"
    ));
    let messages: Vec<_> = control.reload().await.unwrap_err().items().collect();
    let names: Vec<_> = messages
        .iter()
        .map(|item| (item.line, item.message.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            (2, "`instance` cannot change while culvert runs"),
            (3, "`steer.bpffs` cannot change while culvert runs"),
            (4, "`admin.socket` cannot change while culvert runs"),
        ]
    );
    assert!(
        messages[0]
            .help
            .as_deref()
            .unwrap()
            .contains("restart culvert")
    );
}

#[tokio::test]
async fn a_changed_file_is_noticed_however_it_is_written() {
    let file = File::new(LISTENER);
    let control = Control::load(&file.path).unwrap();
    let _running = control.start(Box::new(Notes::default())).await.unwrap();
    file.write(&with_route("written.test"));
    eventually("a written file", || has_route(&control, "written.test")).await;
    file.replace(&with_route("renamed.test"));
    eventually("a renamed file", || has_route(&control, "renamed.test")).await;
    file.replace("quux = 1");
    eventually("a bad file", || !control.last_reload().ok()).await;
    assert!(has_route(&control, "renamed.test"));
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    for (version, route) in [("v1", "old.test"), ("v2", "new.test")] {
        std::fs::create_dir(place(version)).unwrap();
        std::fs::write(place(version).join("culvert.hcl"), with_route(route)).unwrap();
    }
    // As orchestrators mount it: file -> data/file, data -> v1, then data -> v2.
    std::os::unix::fs::symlink("v1", place("data")).unwrap();
    std::os::unix::fs::symlink("data/culvert.hcl", place("culvert.hcl")).unwrap();
    let control = Control::load(&place("culvert.hcl")).unwrap();
    let _running = control.start(Box::new(Notes::default())).await.unwrap();
    assert!(has_route(&control, "old.test"));
    std::os::unix::fs::symlink("v2", place("data.new")).unwrap();
    std::fs::rename(place("data.new"), place("data")).unwrap();
    eventually("the other folder", || has_route(&control, "new.test")).await;
}

#[tokio::test]
async fn the_generation_can_be_followed() {
    let file = File::new(LISTENER);
    let control = Control::load(&file.path).unwrap();
    let _running = control.start(Box::new(Notes::default())).await.unwrap();
    let mut generation = control.subscribe();
    file.write(&with_route("a.test"));
    control.reload().await.unwrap();
    tokio::time::timeout(DEADLINE, generation.changed())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(*generation.borrow(), 2);
}

#[test]
fn a_missing_file_is_an_error_with_its_name() {
    let errors = Control::load(Path::new("/nonexistent/culvert.hcl"))
        .unwrap_err()
        .to_string();
    assert!(errors.contains("cannot read the configuration"), "{errors}");
    assert!(errors.contains("/nonexistent/culvert.hcl"), "{errors}");
}
