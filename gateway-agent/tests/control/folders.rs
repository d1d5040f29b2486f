//! Folders that a configuration reads: changes in them reload it.

use std::path::Path;
use std::time::Duration;

use gateway_agent::control::Control;

use crate::rig::{Notes, eventually};

const HOST: &str = r#"
datacenter   = "dc1"
trust_domain = "5fcd4b81-a2ca-405a-ac62-0fac602c1949.consul"
listener "tls" { address = "127.0.0.1:8443" }
"#;

fn with_folders(folders: &[&str]) -> String {
    let source = |folder: &&str| format!("source \"files\" {{ path = \"{folder}\" }}\n");
    let sources: String = folders.iter().map(source).collect();
    format!("{HOST}{sources}")
}

fn service(name: &str) -> String {
    format!("service {{ name = \"{name}\" address = \"10.0.0.1\" port = 80 }}\n")
}

/// A folder with `culvert.hcl`, which reads `mesh.d`, which holds one service.
fn files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mesh.d")).unwrap();
    write(folder.path(), "mesh.d/web.hcl", &service("web"));
    write(folder.path(), "culvert.hcl", &with_folders(&["mesh.d"]));
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

#[tokio::test]
async fn a_file_in_a_folder_that_comes_breaks_and_is_mended_is_noticed() {
    let folder = files();
    let control = Control::load(&folder.path().join("culvert.hcl")).unwrap();
    let _running = control.start(Box::new(Notes::default())).await.unwrap();
    write(folder.path(), "mesh.d/db.hcl", &service("db"));
    eventually("a new file", || control.snapshot().generation == 2).await;
    write(folder.path(), "mesh.d/db.hcl", "quux = 1\n");
    eventually("a bad file", || !control.last_reload().ok()).await;
    assert_eq!(control.snapshot().generation, 2, "the last good one stays");
    write(folder.path(), "mesh.d/db.hcl", &service("cache"));
    eventually("a mended file", || control.snapshot().generation == 3).await;
    assert!(control.last_reload().ok());
}

#[tokio::test]
async fn a_bad_file_of_a_new_folder_is_mended_without_touching_the_main_one() {
    let folder = files();
    let control = Control::load(&folder.path().join("culvert.hcl")).unwrap();
    let _running = control.start(Box::new(Notes::default())).await.unwrap();
    std::fs::create_dir(folder.path().join("far")).unwrap();
    std::fs::create_dir(folder.path().join("far/more.d")).unwrap();
    write(folder.path(), "far/more.d/db.hcl", "quux = 1\n");
    let both = with_folders(&["mesh.d", "far/more.d"]);
    write(folder.path(), "culvert.hcl", &both);
    eventually("the bad folder", || !control.last_reload().ok()).await;
    write(folder.path(), "far/more.d/db.hcl", &service("db"));
    eventually("the mended folder", || control.last_reload().ok()).await;
    assert_eq!(control.snapshot().generation, 2);
    write(folder.path(), "far/more.d/db.hcl", &service("cache"));
    eventually("a later change", || control.snapshot().generation == 3).await;
}

#[tokio::test]
async fn a_folder_behind_a_link_is_followed_wherever_the_link_leads() {
    let folder = files();
    let at = |name: &str| folder.path().join(name);
    for (version, name) in [("v1", "web"), ("v2", "db")] {
        std::fs::create_dir(at(version)).unwrap();
        write(&at(version), "a.hcl", &service(name));
    }
    std::os::unix::fs::symlink("v1", at("link.d")).unwrap();
    write(folder.path(), "culvert.hcl", &with_folders(&["link.d"]));
    let control = Control::load(&at("culvert.hcl")).unwrap();
    let _running = control.start(Box::new(Notes::default())).await.unwrap();
    std::os::unix::fs::symlink("v2", at("link.new")).unwrap();
    std::fs::rename(at("link.new"), at("link.d")).unwrap();
    eventually("the other folder", || control.snapshot().generation == 2).await;
    write(&at("v2"), "a.hcl", &service("cache"));
    eventually("a change in it", || control.snapshot().generation == 3).await;
}

#[tokio::test]
async fn a_folder_that_never_rests_holds_no_change_back() {
    let folder = files();
    let control = Control::load(&folder.path().join("culvert.hcl")).unwrap();
    let _running = control.start(Box::new(Notes::default())).await.unwrap();
    let beside = folder.path().join("beside.txt");
    let noise = tokio::spawn(async move {
        loop {
            std::fs::write(&beside, "x").unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    write(folder.path(), "mesh.d/db.hcl", &service("db"));
    eventually("the change", || control.snapshot().generation == 2).await;
    noise.abort();
}

#[tokio::test]
async fn a_folder_that_is_gone_changes_nothing_until_it_is_back() {
    let folder = files();
    let control = Control::load(&folder.path().join("culvert.hcl")).unwrap();
    let _running = control.start(Box::new(Notes::default())).await.unwrap();
    for generation in [2, 3] {
        std::fs::remove_dir_all(folder.path().join("mesh.d")).unwrap();
        eventually("its going", || !control.last_reload().ok()).await;
        assert_eq!(control.snapshot().generation, generation - 1);
        std::fs::create_dir(folder.path().join("mesh.d")).unwrap();
        let name = format!("web{generation}");
        write(folder.path(), "mesh.d/web.hcl", &service(&name));
        eventually("its coming", || control.last_reload().ok()).await;
        eventually("what is in it", || {
            control.snapshot().generation == generation
        })
        .await;
    }
}

#[tokio::test]
async fn a_folder_that_is_emptied_changes_nothing() {
    let folder = files();
    let control = Control::load(&folder.path().join("culvert.hcl")).unwrap();
    let _running = control.start(Box::new(Notes::default())).await.unwrap();
    std::fs::remove_file(folder.path().join("mesh.d/web.hcl")).unwrap();
    eventually("its last file's going", || !control.last_reload().ok()).await;
    assert_eq!(control.snapshot().generation, 1, "the last good one stays");
    write(folder.path(), "mesh.d/nothing.hcl", "");
    eventually("a mesh of nothing, on purpose", || {
        control.snapshot().generation == 2
    })
    .await;
}
