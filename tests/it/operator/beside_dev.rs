//! Commands beside `ngoma serve --dev` take what that server delivers to; without it, they refuse it as a wrong word.

use std::time::Instant;

use rusqlite::Connection;

use crate::support::{
    program::{Running, ngoma, run, wrong},
    receiver::{PATIENCE, Receiver},
};

#[test]
fn beside_a_server_of_dev_a_loopback_url_is_taken_and_after_it_refused_as_a_wrong_word() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Running::start(&mut ngoma(folder.path(), &["serve", "--dev", "--listen", "127.0.0.1:0"]));
    server.line_with("operator ");
    let receiver = Receiver::new();
    let url = receiver.url();
    let notices = ["account", "set", "DEMO-ASG", "--alerts-url", &url];
    let webhook = ["webhooks", "create", "--account", "DEMO-ASILICHAIN", "--url", &url, "--events", "*", "--quiet"];
    // The start is noted soon.
    let begun = Instant::now();
    let set = loop {
        let (code, _, err) = run(folder.path(), &notices);
        if code == 0 {
            break err;
        }
        assert!(begun.elapsed() < PATIENCE, "{err}");
    };
    assert!(set.contains("This secret signs the notices of DEMO-ASG"), "{set}");
    let (code, id, err) = run(folder.path(), &webhook);
    assert_eq!(code, 0, "{err}");
    let id = id.lines().next().expect("an id");
    let (code, out, err) = run(folder.path(), &["webhooks", "test", id]);
    assert_eq!(code, 0, "{out}{err}");
    receiver.wait_for(1);

    server.signal("TERM");
    assert!(server.wait().success());
    for words in [&notices[..], &webhook[..8]] {
        let said = wrong(folder.path(), words);
        assert!(said.contains("this URL cannot be used") && said.contains("egress.allow_http"), "{words:?}: {said}");
    }
    let conn = Connection::open(folder.path().join("ngoma.db")).expect("the file");
    let noted: (i64, i64) =
        conn.query_row("SELECT serving, dev FROM moment", [], |row| Ok((row.get(0)?, row.get(1)?))).expect("a row");
    assert_eq!(noted, (0, 0));
}
