//! A folder for backups on a disk that does not answer, as one of the network can: it holds nobody up, and people hear of it.

use std::{fs, path::Path, process::Stdio};

use super::own_backups::{backups, health, names, world};
use crate::support::{
    browser::operator, database::query, held_request::until, metrics::metric, other_programs::plain_python,
    program::Running, world::World,
};

/// A process that makes everybody wait who opens this file. The system ends that wait after 45 s.
fn silence(file: &Path) -> Running {
    let mut lease = plain_python("lease.py");
    let mut lease = Running::start(lease.arg(file).stdin(Stdio::piped()));
    lease.line_with("held");
    lease
}

/// A world with a backup, and another one in its folder that cannot be opened while the process runs.
fn silent_world() -> (World, Running) {
    let world = world(7);
    let folder = backups(&world);
    let made = folder.join("auto-2026-04-20T11-55-00Z.db");
    // It is copied beside the folder: who sees it there is to wait.
    let copy = world.folder().join("copy.db");
    fs::copy(&made, &copy).expect("copied");
    let lease = silence(&copy);
    fs::rename(&copy, folder.join("copy.db")).expect("renamed");
    (world, lease)
}

#[test]
fn a_folder_for_backups_that_does_not_answer_holds_nobody_up_and_the_operator_hears_of_it() {
    let (world, lease) = silent_world();
    assert_eq!(names(&backups(&world)).len(), 3);
    let browser = operator(&world);
    let page = browser.get("/ui/system");
    assert_eq!(page.status, 503);
    assert!(page.text.contains("does not answer") && page.text.contains("alerts.operator_email"), "{}", page.text);
    // More views than there are connections that read.
    for _ in 0..10 {
        assert_eq!(browser.get("/ui/system").status, 503);
        assert_eq!(browser.get("/ui").status, 200);
    }
    assert!(metric(&world, "ngoma_backup_age_seconds").is_some(), "as it was last seen");
    world.coop().get("/webhooks").expect(200);
    let told = || {
        let sql = "SELECT count(*) FROM alert WHERE about = 'server.backup_old' AND said LIKE '%does not answer%'";
        query::<usize>(&world, sql) == 1
    };
    until("the health says so", || health(&world).1.contains("the folder for backups does not answer"));
    world.advance("1m");
    until("the operator is told", told);
    drop(lease);
    until("it answers again", || browser.get("/ui/system").status == 200);
    assert_eq!(health(&world).0, "ok");
}
