//! The output of a server: its log on standard error, and its first lines on standard output.
//!
//! The server waits for no reader. Each stream has a queue of a bounded size and a thread that writes. A line that does
//! not fit into the queue, or cannot be written, is dropped and counted. When the stream takes lines again, a line says
//! how many were dropped. At its end the program waits a second at most for the lines that are still in the queues.
//!
//! Values in a line are escaped: no value can make a line of its own or change a terminal. If systemd's journal reads
//! the stream, each line begins with its priority.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    collections::VecDeque,
    fmt::Write as _,
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    panic,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, atomic::Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter,
    fmt::{MakeWriter, format},
};

use super::manner::has_colours;
use crate::{
    clock::{Clock, SystemClock},
    config::LogFormat,
    domain::text::{Escaping, escaped, escaped_json},
    error::{Error, Result},
    metrics::LOG_LINES_DROPPED,
};

/// Most bytes that wait to be written to a stream, [`PLACE`] for each line included.
const MOST_WAITING: usize = 4 << 20;
/// Bytes that a line takes in the queue besides its text.
const PLACE: usize = 64;
/// How long the program waits at its end for lines that are not written yet.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The wait before a blocked stream is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// The streams of a server; other commands have none and write directly.
static STREAMS: OnceLock<Streams> = OnceLock::new();

struct Streams {
    out: Arc<Stream>,
    log: Arc<Stream>,
}

/// How the lines of a stream are written.
#[derive(Debug, Clone, Copy)]
struct Form {
    format: LogFormat,
    in_journal: bool,
}

struct Stream {
    form: Form,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    /// Lines that wait, and the line that is being written.
    bytes: usize,
    /// Lines dropped since the last line about dropped lines.
    dropped: u64,
}

impl Queue {
    fn drop_one(&mut self) {
        self.dropped += 1;
        LOG_LINES_DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

impl Form {
    fn of(stream: impl AsFd, format: LogFormat) -> Self {
        Self { format, in_journal: is_journal(stream) }
    }

    /// Lines that the program prints itself, each with its priority.
    fn lines(self, level: Level, text: &str) -> Vec<u8> {
        let mut lines = String::new();
        for line in text.lines() {
            let line = match self.format {
                LogFormat::Text => escaped(line),
                LogFormat::Json => escaped_json(line),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{}{line}", self.priority(level));
        }
        lines.into_bytes()
    }

    /// A line of the log from the subscriber. In text, its values are escaped already.
    fn event(self, level: Level, event: &str) -> Vec<u8> {
        match self.format {
            LogFormat::Text => format!("{}{}\n", self.priority(level), event.trim_end()).into_bytes(),
            LogFormat::Json => self.lines(level, event),
        }
    }

    /// A sentence that is no log event. In text, it begins with the given words.
    fn sentence(self, level: Level, begin: &str, text: &str) -> Vec<u8> {
        match self.format {
            LogFormat::Text => self.lines(level, &format!("{begin}{text}")),
            LogFormat::Json => self.lines(level, &object(level, text, &[]).to_string()),
        }
    }

    /// The priority at the beginning of a line; the journal removes it.
    fn priority(self, level: Level) -> &'static str {
        match level {
            _ if !self.in_journal => "",
            Level::ERROR => "<3>",
            Level::WARN => "<4>",
            Level::INFO => "<6>",
            _ => "<7>",
        }
    }
}

/// Whether systemd's journal reads this stream: its environment variable names the stream.
fn is_journal(stream: impl AsFd) -> bool {
    let Ok(said) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(stream).is_ok_and(|found| said == format!("{}:{}", found.st_dev, found.st_ino))
}

fn object(level: Level, message: &str, facts: &[(&str, &str)]) -> Value {
    let mut object = json!({ "timestamp": SystemClock.now().precise(), "level": level.as_str(), "message": message });
    facts.iter().for_each(|(name, value)| object[*name] = json!(value));
    object
}

impl Stream {
    /// Starts the thread that writes. It has its own file descriptor: only this thread waits for a reader.
    fn start(stream: impl AsFd, format: LogFormat) -> io::Result<Arc<Self>> {
        let (form, file) = (Form::of(&stream, format), File::from(stream.as_fd().try_clone_to_owned()?));
        let (queue, changed) = (Mutex::default(), Condvar::new());
        let started = Arc::new(Self { form, queue, changed });
        let writing = Arc::clone(&started);
        thread::Builder::new().name("log".to_owned()).spawn(move || writing.write_on(file))?;
        Ok(started)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: Vec<u8>) {
        let mut queue = self.lock();
        if queue.bytes + line.len() + PLACE > MOST_WAITING {
            return queue.drop_one();
        }
        queue.bytes += line.len() + PLACE;
        queue.lines.push_back(line);
        drop(queue);
        self.changed.notify_all();
    }

    /// Writes one line after another, and goes on after any error.
    fn write_on(&self, mut to: File) {
        let mut cut = false;
        loop {
            let waiting = self.changed.wait_while(self.lock(), |queue| queue.lines.is_empty());
            let mut queue = waiting.unwrap_or_else(PoisonError::into_inner);
            let (line, dropped) = (queue.lines.pop_front().unwrap_or_default(), queue.dropped);
            drop(queue);
            let said = dropped > 0 && {
                let begin = format!("{} ERROR ", SystemClock.now().precise());
                let text = format!("{dropped} log lines were lost: they could not be written");
                put(&mut to, &self.form.sentence(Level::ERROR, &begin, &text), &mut cut)
            };
            let written = put(&mut to, &line, &mut cut);
            let mut queue = self.lock();
            queue.bytes -= line.len() + PLACE;
            queue.dropped -= if said { dropped } else { 0 };
            if !written {
                queue.drop_one();
            }
            drop(queue);
            self.changed.notify_all();
        }
    }

    fn drain(&self) {
        drop(self.changed.wait_timeout_while(self.lock(), LAST_WORDS, |queue| queue.bytes > 0));
    }
}

/// Writes a line, and returns whether all of it was written. After a line that was `cut` in the middle, it begins a new
/// one.
fn put(to: &mut File, line: &[u8], cut: &mut bool) -> bool {
    let whole = if *cut { [b"\n", line].concat() } else { line.to_vec() };
    let mut rest = whole.as_slice();
    while !rest.is_empty() {
        match to.write(rest) {
            Ok(count) if count > 0 => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::park_timeout(RETRY),
            Ok(_) | Err(_) => {
                *cut |= rest.len() < whole.len();
                return false;
            }
        }
    }
    *cut = false;
    true
}

/// Makes this process a server: from now on its output goes through queues, in this format, and a panic is a line of
/// the log.
///
/// # Errors
/// When the system starts no threads or gives no descriptors.
pub(super) fn open(format: LogFormat) -> Result<()> {
    let unable = |error: io::Error| Error::Internal(format!("the log cannot be written: {error}"));
    let out = Stream::start(io::stdout(), format).map_err(unable)?;
    let log = Stream::start(io::stderr(), format).map_err(unable)?;
    // There is one server in a process.
    let _ = STREAMS.set(Streams { out, log });
    panic::set_hook(Box::new(|panic| {
        let (thread, place) = (thread::current(), panic.location().map(tracing::field::display));
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        let message = panic.payload_as_str().unwrap_or("it does not say why");
        tracing::error!(thread = thread.name(), place, backtrace, "a part of the server panicked: {message}");
    }));
    Ok(())
}

/// Lets the lines of the log that pass this filter go to standard error.
pub(super) fn subscribe(filter: EnvFilter) {
    let Some(Streams { log, .. }) = STREAMS.get() else { return };
    let colours = has_colours(&io::stderr());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Lines(Arc::clone(log)));
    let lines = lines.with_target(false).with_ansi(colours).log_internal_errors(false);
    let fields = format::debug_fn(|to, field, value| match field.name() {
        "message" => write!(Escaping(to), "{value:?} "),
        // Fields that the bridge from the crate log adds.
        name if name.starts_with("log.") => Ok(()),
        name => write!(to, "{name}=").and_then(|()| write!(Escaping(to), "{value:?} ")),
    });
    match log.form.format {
        LogFormat::Text => lines.fmt_fields(fields).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

/// Where the subscriber writes.
struct Lines(Arc<Stream>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { stream: &self.0, level: Level::INFO }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line { stream: &self.0, level: *meta.level() }
    }
}

/// One event, which the subscriber writes at once.
struct Line<'a> {
    stream: &'a Stream,
    level: Level,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.push(self.stream.form.event(self.level, &String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints the output of a server; `false` if this process is no server.
pub(super) fn print(text: &str) -> bool {
    STREAMS.get().map(|Streams { out, .. }| out.push(out.form.lines(Level::INFO, text))).is_some()
}

/// Prints these facts as an object, if the log is in JSON, and returns whether it did.
pub(super) fn print_object(message: &str, facts: &[(&str, &str)]) -> bool {
    let is_json = STREAMS.get().is_some_and(|streams| streams.out.form.format == LogFormat::Json);
    is_json && print(&object(Level::INFO, message, facts).to_string())
}

/// Writes an error to standard error. It does not matter whether somebody reads it.
pub(super) fn complain(level: Level, text: &str) {
    let begin = "ngoma: ";
    match STREAMS.get() {
        Some(Streams { log, .. }) => log.push(log.form.sentence(level, begin, text)),
        None => {
            let form = Form::of(io::stderr(), LogFormat::Text);
            let _ = io::stderr().write_all(&form.sentence(level, begin, text));
        }
    }
}

/// Waits for the lines that are not written yet, a second at most for each stream.
pub(super) fn drain() {
    if let Some(Streams { out, log }) = STREAMS.get() {
        [out, log].iter().for_each(|stream| stream.drain());
    }
}
