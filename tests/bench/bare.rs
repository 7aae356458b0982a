//! The limit: the same way without any storage. poem takes a publish, a channel hands it to threads, ureq sends it,
//! signed as often and with as many headers as Ngoma's. This binary starts itself as that process.

use std::{
    env,
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use ngoma::{
    domain::{
        ids::{DeliveryId, EventId},
        signature::SigningSecret,
        timestamp::Timestamp,
    },
    store::random,
};
use poem::{
    Endpoint, Request, Response, Server,
    http::StatusCode,
    listener::{Acceptor, Listener, TcpListener},
};
use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::{prepare, process::Process};

/// The word that makes this binary the bare pipeline.
pub const WORD: &str = "bare-pipeline";
/// The word that makes it bare threads that send for ever.
pub const DRAIN: &str = "bare-threads";
/// As in Ngoma's sender.
const BUFFER: usize = 16 << 10;
/// As of Ngoma's sending threads.
const STACK: usize = 512 << 10;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Starts it with this many sending threads.
pub fn start(senders: usize, target: SocketAddr) -> Process {
    let own = env::current_exe().expect("this program");
    Process::start(Command::new(own).args([WORD, &senders.to_string(), &format!("http://{target}/")]))
}

/// Starts threads alone, this many, which send events of 600 bytes, each to one of these URLs.
pub fn drain(senders: usize, authority: Option<&Path>, urls: &[String]) -> Process {
    let own = env::current_exe().expect("this program");
    let authority = authority.map_or_else(String::new, |path| path.display().to_string());
    Process::start(Command::new(own).args([DRAIN, &senders.to_string(), &authority, &urls.join(",")]))
}

/// Is them, until somebody ends it.
pub fn send_for_ever(arguments: &[String]) {
    let [senders, authority, urls] = arguments else { panic!("expected: SENDERS AUTHORITY URLS") };
    let urls: Vec<String> = urls.split(',').map(str::to_owned).collect();
    println!("http://127.0.0.1:1");
    let senders = senders.parse().expect("a number");
    let threads = (0..senders).map(|place| {
        // Each has a connection of its own.
        let (url, agent) = (urls[place % urls.len()].clone(), agent(authority));
        let run = move || {
            let secret = SigningSecret::from_random(&random().expect("random bytes"));
            let body = prepare::stored(1).into_bytes();
            loop {
                send(&agent, &url, &secret, &body);
            }
        };
        thread::Builder::new().stack_size(STACK).spawn(run).expect("a thread")
    });
    threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().expect("it sends"));
}

fn agent(authority: &str) -> Agent {
    let roots = if authority.is_empty() {
        RootCerts::WebPki
    } else {
        let pem = std::fs::read(authority).expect("a file");
        RootCerts::new_with_certs(&[Certificate::from_pem(&pem).expect("a certificate")])
    };
    let config = Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .accept("")
        .accept_encoding("")
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .max_idle_connections(1024)
        .max_idle_connections_per_host(64);
    Agent::new_with_config(config.build())
}

/// Is it, until somebody ends it.
pub fn serve(arguments: &[String]) {
    let [senders, url] = arguments else { panic!("expected: SENDERS URL") };
    let (queue, waiting) = mpsc::channel();
    let waiting = Arc::new(Mutex::new(waiting));
    let agent = agent("");
    for _ in 0..senders.parse().expect("a number") {
        let (waiting, agent, url) = (Arc::clone(&waiting), agent.clone(), url.clone());
        thread::spawn(move || send_all(&waiting, &agent, &url));
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.expect("a port");
        let address = acceptor.local_addr().into_iter().find_map(|address| address.as_socket_addr().copied());
        println!("http://{}", address.expect("a port"));
        Server::new_with_acceptor(acceptor).run(Arc::new(Door(queue))).await.expect("a server");
    });
}

struct Door(mpsc::Sender<Vec<u8>>);

impl Endpoint for Door {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let body = request.take_body().into_vec().await?;
        self.0.send(body).expect("somebody sends");
        Ok(Response::builder()
            .status(StatusCode::ACCEPTED)
            .content_type("application/json")
            .body(r#"{"accepted":true}"#))
    }
}

fn send_all(waiting: &Mutex<mpsc::Receiver<Vec<u8>>>, agent: &Agent, url: &str) {
    let secret = SigningSecret::from_random(&random().expect("random bytes"));
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(body) = next else { return };
        send(agent, url, &secret, &body);
    }
}

fn send(agent: &Agent, url: &str, secret: &SigningSecret, body: &[u8]) {
    let now = Timestamp::from_millis(1_776_686_100_000);
    let event = EventId::mint(now).to_string();
    let request = agent
        .post(url)
        .header("content-type", "application/json")
        .header("webhook-signature", secret.sign_standard(&event, now, body))
        .header("webhook-timestamp", now.unix_seconds().to_string())
        .header("webhook-id", event)
        .header("ngoma-delivery", DeliveryId::mint(now).to_string())
        .header("ngoma-attempt", "1")
        .header("x-asilichain-signature", secret.sign_body(body));
    let sent = request.config().timeout_global(Some(TIMEOUT)).build().send(body);
    let mut answer = sent.expect("the receiver answers");
    drop(answer.body_mut().read_to_vec());
}
