//! A receiver as subscribers run them: a real socket on 127.0.0.1 that answers as its script says and remembers every
//! POST.

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;

/// Long enough for any machine; a wait that ends here is a failure, never a pass.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How to answer one POST.
#[derive(Clone)]
pub enum Reply {
    /// With this status, extra header lines and body.
    Answer(u16, &'static str, Vec<u8>),
    /// Never: until the receiver hangs up, or goes.
    Hang,
    /// With this status, once the story opens the gate.
    Gate(u16),
    /// With this status and extra header lines, once the story opens the gate.
    GatedHead(u16, &'static str),
    /// With 200 and this body, once the story opens the gate.
    GatedBody(Vec<u8>),
    /// By closing the connection.
    Close,
    /// With these bytes, which may be no HTTP, and then by closing.
    Raw(Vec<u8>),
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self::Answer(status, "", b"{\"received\":true}".to_vec())
    }
}

/// One POST, as it came.
#[derive(Clone, Debug)]
pub struct Post {
    pub path: String,
    /// In the letter case in which they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Post {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }
}

struct Shared {
    script: Mutex<Script>,
    posts: Mutex<Vec<Post>>,
    came: Condvar,
    gone: AtomicBool,
    connections: Mutex<usize>,
    /// How often waiting connections were released, and how the last time.
    released: Mutex<(usize, Release)>,
    release: Condvar,
}

/// How a waiting connection goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Release {
    HangUp,
    OpenGate,
}

struct Script {
    next: VecDeque<Reply>,
    then: Reply,
}

pub struct Receiver {
    shared: Arc<Shared>,
    port: u16,
}

impl Receiver {
    /// One that answers 200 to everything.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            script: Mutex::new(Script { next: VecDeque::new(), then: Reply::status(200) }),
            posts: Mutex::new(Vec::new()),
            came: Condvar::new(),
            gone: AtomicBool::new(false),
            connections: Mutex::new(0),
            released: Mutex::new((0, Release::HangUp)),
            release: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.gone.load(Ordering::SeqCst) {
                    return;
                }
                *lock(&accepting.connections) += 1;
                let serving = Arc::clone(&accepting);
                thread::spawn(move || serve(&serving, stream));
            }
        });
        Self { shared, port }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on answers every POST in this way.
    pub fn always(&self, reply: Reply) -> &Self {
        let mut script = lock(&self.shared.script);
        script.next.clear();
        script.then = reply;
        drop(script);
        self
    }

    /// Answers the next POSTs in these ways, one each, before it goes on as before.
    pub fn next(&self, replies: impl IntoIterator<Item = Reply>) -> &Self {
        lock(&self.shared.script).next.extend(replies);
        self
    }

    /// Answers the POSTs that wait at a gate.
    pub fn open_gate(&self) {
        self.shared.release(Release::OpenGate);
    }

    /// Breaks the connections of those that wait for an answer.
    pub fn hang_up(&self) {
        self.shared.release(Release::HangUp);
    }

    /// Every POST so far.
    pub fn posts(&self) -> Vec<Post> {
        lock(&self.shared.posts).clone()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        *lock(&self.shared.connections)
    }

    /// Waits for this many POSTs in all, and gives them.
    pub fn wait_for(&self, count: usize) -> Vec<Post> {
        let posts = lock(&self.shared.posts);
        let (posts, timeout) = self
            .shared
            .came
            .wait_timeout_while(posts, PATIENCE, |posts| posts.len() < count)
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        assert!(!timeout.timed_out(), "only {} of {count} POSTs came", posts.len());
        posts.clone()
    }

    /// The one POST there was.
    pub fn only(&self) -> Post {
        let posts = self.posts();
        assert_eq!(posts.len(), 1, "exactly one POST was expected");
        posts[0].clone()
    }

    /// The last POST.
    pub fn last(&self) -> Post {
        self.posts().last().expect("there was a POST").clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::SeqCst);
        self.hang_up();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn release(&self, how: Release) {
        let mut released = lock(&self.released);
        *released = (released.0 + 1, how);
        self.release.notify_all();
    }

    /// Waits for the next release after the `seen` first ones.
    fn wait_for_release(&self, seen: usize) -> Release {
        let waits = |released: &mut (usize, Release)| released.0 == seen && !self.gone.load(Ordering::SeqCst);
        let released = self.release.wait_timeout_while(lock(&self.released), PATIENCE, waits);
        released.unwrap_or_else(|poisoned| poisoned.into_inner()).0.1
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn serve(shared: &Shared, stream: TcpStream) {
    let mut reader = BufReader::new(stream);
    while let Some(post) = read_post(&mut reader) {
        let reply = {
            let mut script = lock(&shared.script);
            script.next.pop_front().unwrap_or_else(|| script.then.clone())
        };
        // Before the story can see the POST: it may be released from that moment on.
        let seen = lock(&shared.released).0;
        lock(&shared.posts).push(post);
        shared.came.notify_all();
        let stream = reader.get_mut();
        match reply {
            Reply::Answer(status, headers, body) => {
                if answer(stream, status, headers, &body).is_err() {
                    return;
                }
            }
            Reply::Hang => {
                shared.wait_for_release(seen);
                return;
            }
            Reply::Gate(status) => {
                if shared.wait_for_release(seen) == Release::HangUp || answer(stream, status, "", b"late").is_err() {
                    return;
                }
            }
            Reply::GatedHead(status, headers) => {
                if shared.wait_for_release(seen) == Release::HangUp || answer(stream, status, headers, b"").is_err() {
                    return;
                }
            }
            Reply::GatedBody(body) => {
                if shared.wait_for_release(seen) == Release::HangUp || answer(stream, 200, "", &body).is_err() {
                    return;
                }
            }
            Reply::Close => return,
            Reply::Raw(bytes) => {
                let _ = stream.write_all(&bytes);
                return;
            }
        }
    }
}

pub fn answer(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat())
}

pub fn read_post(reader: &mut BufReader<TcpStream>) -> Option<Post> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => break,
        }
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Post { path, headers, body })
}
