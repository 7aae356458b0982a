//! A command that has the database open while a restore exchanges it: it says so, and does not end well.

use std::{fs, process::Command};

use crate::support::{
    program::{Running, finish},
    receiver::{Receiver, Reply},
    site::{SECRET, Site, publish},
};

const SAYS: &str = "was replaced while this command ran";

#[track_caller]
fn done(command: &mut Command) {
    let (code, out, err) = finish(command);
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn deliveries_that_are_followed_end_when_a_restore_exchanges_the_database() {
    let (site, receiver) = (Site::new(), Receiver::new());
    let server = site.start();
    server.coop().webhook(&receiver.url(), &["batch.*"], SECRET);
    publish(&server.coop(), "before").expect("accepted");
    receiver.wait_for(1);
    done(&mut site.command_of(&["backup", "copy.db"]));
    let mut follower = Running::start(&mut site.command_of(&["deliveries", "--follow"]));
    follower.line_with("dlv_");
    server.stop();
    let server = site.start();
    publish(&server.coop(), "after").expect("accepted");
    receiver.wait_for(2);
    follower.line_with("dlv_");
    server.stop();
    done(&mut site.command_of(&["restore", "copy.db"]));
    follower.error_with(SAYS);
    assert_eq!(follower.wait().code(), Some(1));
}

#[test]
fn a_command_that_ends_after_a_restore_says_that_it_worked_on_the_former_database() {
    let (site, receiver) = (Site::new(), Receiver::new());
    let server = site.start();
    let webhook = server.coop().webhook(&receiver.url(), &["batch.*"], SECRET);
    done(&mut site.command_of(&["backup", "copy.db"]));
    server.stop();
    receiver.always(Reply::Gate(200));
    for as_json in [false, true] {
        let words = ["webhooks", "test", &webhook, "--json"];
        let posts = receiver.posts().len();
        let mut test = Running::start(&mut site.command_of(&words[..3 + usize::from(as_json)]));
        receiver.wait_for(posts + 1);
        done(&mut site.command_of(&["restore", "copy.db"]));
        receiver.open_gate();
        assert_eq!(test.wait().code(), Some(1));
        assert!(test.seen.is_empty(), "it does not say that all went well: {:?}", test.seen);
        let said = test.log();
        let database = fs::canonicalize(site.database()).expect("it is there");
        for words in [SAYS, database.to_str().expect("a path"), "before-restore-", "Run the command again"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        receiver.always(Reply::Gate(200));
    }
    receiver.always(Reply::status(200));
    done(&mut site.command_of(&["webhooks", "test", &webhook]));
}
