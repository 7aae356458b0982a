//! The limit: the same way without any storage. poem takes a publish, a channel hands it to threads, ureq sends it,
//! signed as often and with as many headers as Ngoma's. This binary starts itself as that process.

use std::{
    env,
    net::SocketAddr,
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
use ureq::Agent;

use crate::process::Process;

/// The word that makes this binary the bare pipeline.
pub const WORD: &str = "bare-pipeline";
/// As in Ngoma's sender.
const BUFFER: usize = 16 << 10;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Starts it with this many sending threads.
pub fn start(senders: usize, target: SocketAddr) -> Process {
    let own = env::current_exe().expect("this program");
    Process::start(Command::new(own).args([WORD, &senders.to_string(), &format!("http://{target}/")]))
}

/// Is it, until somebody ends it.
pub fn serve(arguments: &[String]) {
    let [senders, url] = arguments else { panic!("expected: SENDERS URL") };
    let (queue, waiting) = mpsc::channel();
    let waiting = Arc::new(Mutex::new(waiting));
    let agent = Agent::new_with_config(
        Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .accept("")
            .accept_encoding("")
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_idle_connections(64)
            .max_idle_connections_per_host(8)
            .build(),
    );
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
        let now = Timestamp::from_millis(1_776_686_100_000);
        let event = EventId::mint(now).to_string();
        let request = agent
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-signature", secret.sign_standard(&event, now, &body))
            .header("webhook-timestamp", now.unix_seconds().to_string())
            .header("webhook-id", event)
            .header("ngoma-delivery", DeliveryId::mint(now).to_string())
            .header("ngoma-attempt", "1")
            .header("x-asilichain-signature", secret.sign_body(&body));
        let sent = request.config().timeout_global(Some(TIMEOUT)).build().send(&body);
        let mut answer = sent.expect("the receiver answers");
        drop(answer.body_mut().read_to_vec());
    }
}
