//! curl, as people use it: it speaks TLS and HTTP/2, and may come from any address of the loopback network.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::support::{client::Answer, leaks};

/// curl's code for an answer that ended too early.
const PARTIAL: i32 = 18;

/// A client that trusts one authority.
pub struct Curl {
    /// Where its requests go: `https://localhost:1234`.
    pub base: String,
    authority: PathBuf,
    folder: PathBuf,
}

/// A request under way.
pub struct Asked {
    child: Child,
    /// A code with which curl may end although there is an answer.
    allowed: Option<i32>,
    head: PathBuf,
    path: String,
}

impl Curl {
    /// One whose files are in this folder.
    pub fn new(base: &str, authority: &Path, folder: &Path) -> Self {
        Self { base: base.to_owned(), authority: authority.to_owned(), folder: folder.to_owned() }
    }

    /// Begins a request from this address. With a body it is a POST.
    pub fn begin(&self, from: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Asked {
        let (_, head) = tempfile::NamedTempFile::new_in(&self.folder).expect("a file").keep().expect("kept");
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60", "--ipv4", "--interface", from]);
        curl.arg("--cacert").arg(&self.authority).arg("--dump-header").arg(&head);
        for (name, value) in headers {
            curl.args(["--header", &format!("{name}: {value}")]);
        }
        if body.is_some() {
            curl.args(["--data-binary", "@-"]);
        }
        curl.arg(format!("{}{path}", self.base));
        curl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = curl.spawn().expect("curl is missing: run the suite by tests/run, which installs it");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(body.unwrap_or_default()).expect("it reads its input");
        Asked { child, allowed: None, head, path: path.to_owned() }
    }

    /// Makes a request from this address, and takes the answer.
    #[track_caller]
    pub fn ask(&self, from: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
        self.begin(from, path, headers, body).answer().unwrap_or_else(|problem| panic!("{path}: {problem}"))
    }

    /// The answer to a body that is refused before it is sent whole. curl stops sending then, and a proxy that finds its
    /// request cut short may cut the text of the answer short.
    #[track_caller]
    pub fn refused(&self, from: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut asked = self.begin(from, path, headers, Some(body));
        asked.allowed = Some(PARTIAL);
        asked.answer().unwrap_or_else(|problem| panic!("{path}: {problem}"))
    }
}

impl Asked {
    /// The answer.
    ///
    /// # Errors
    /// What curl says when there is none.
    pub fn answer(self) -> Result<Answer, String> {
        let output = self.child.wait_with_output().expect("it ends");
        if !output.status.success() && output.status.code() != self.allowed {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let heads = fs::read_to_string(&self.head).expect("its head");
        // An interim answer comes before.
        let head = heads.trim_end().rsplit("\r\n\r\n").next().expect("a head");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        let (status, text) = (status.expect("a status"), String::from_utf8(output.stdout).expect("a text"));
        leaks::exchange(&self.path, None, status, &text);
        Ok(Answer { status, headers, text })
    }
}

/// A port of 127.0.0.1 that no other story gets: the system gives those below 32768 to nobody who asks for any port.
pub fn free_port() -> u16 {
    const PORTS: u32 = 12_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = process::id().wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % PORTS;
        let port = u16::try_from(20_000 + next).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
