//! A server with live status, and its WebSocket clients.

use std::collections::HashMap;
use std::path::PathBuf;

use axum::serve::ListenerExt;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::{Error, Message, client::IntoClientRequest};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::internals::router;
use crate::support::server::Client;
use crate::support::wait;

/// A server on its own port, with an inventory that the test can rewrite.
pub struct Server {
    pub address: std::net::SocketAddr,
    client: Client,
    folder: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Starts a server that polls ten times a second by default.
    pub async fn start(inventory: &str, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap();
        std::fs::create_dir(folder.path().join("inventory")).unwrap();
        std::fs::write(folder.path().join("inventory/hosts.yml"), inventory).unwrap();
        let mut env: HashMap<String, String> = HashMap::new();
        let defaults = [("PROJECT_ROOT_DIR", root), ("RANGE42_WS_POLL_SECONDS", "0.1")];
        for (name, value) in defaults.iter().chain(settings) {
            env.insert((*name).to_owned(), (*value).to_owned());
        }
        let client = Client::new(&env);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // By default the system buffers megabytes for a client that does not read; with small
        // buffers the tests need to send less.
        let listener = listener.tap_io(|connection| {
            let room = rustix::net::sockopt::set_socket_send_buffer_size(connection, 4096);
            room.unwrap();
        });
        let router = router(client.app.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, client, folder, task }
    }

    /// The inventory file.
    pub fn hosts(&self) -> PathBuf {
        self.folder.path().join("inventory/hosts.yml")
    }

    /// Connects a client with a query such as `?node=*`.
    pub async fn dashboard(&self, query: &str) -> Dashboard {
        wait::within(Dashboard::connect(self.address, query, &[])).await.unwrap()
    }

    /// The number of clients, according to the metrics.
    pub async fn clients(&self) -> usize {
        self.measured("range42_websocket_clients ").await
    }

    /// The number of polls with this result, according to the metrics.
    pub async fn polls(&self, result: &str) -> usize {
        self.measured(&format!("range42_polls_total{{result=\"{result}\"}} ")).await
    }

    /// The value of a metric; 0 if it is not reported yet.
    async fn measured(&self, name: &str) -> usize {
        let measured = self.client.get("/metrics").await.text;
        let number = measured.lines().find_map(|line| line.strip_prefix(name));
        number.map_or(0, |number| number.parse().unwrap())
    }

    /// Waits until the server has `count` clients.
    pub async fn has_clients(&self, count: usize) {
        wait::until("the clients are counted", async || self.clients().await == count).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One client.
pub struct Dashboard {
    pub socket: WebSocketStream<TcpStream>,
}

/// What a client receives.
#[derive(Debug, PartialEq)]
pub enum Got {
    Message(Value),
    Closed(u16),
    /// The connection ended without a close frame.
    Cut,
}

impl Dashboard {
    /// Connects, or returns the response if the server rejects the upgrade.
    pub async fn connect(
        address: std::net::SocketAddr,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Box<Error>> {
        let connection = TcpStream::connect(address).await.unwrap();
        Self::upgrade(connection, query, headers).await
    }

    /// Connects with a small receive buffer. (With an even smaller one, TCP window probes would
    /// slow down reading.)
    pub async fn connect_narrow(address: std::net::SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(32 * 1024).unwrap();
        let connection = socket.connect(address).await.unwrap();
        Self::upgrade(connection, "", &[]).await.unwrap()
    }

    async fn upgrade(
        connection: TcpStream,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Box<Error>> {
        let address = connection.peer_addr().unwrap();
        let url = format!("ws://{address}/ws/vm-status{query}");
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = client_async(request, connection).await.map_err(Box::new)?;
        Ok(Self { socket })
    }

    /// Receives the next event, skipping pings (which reading answers).
    pub async fn next(&mut self) -> Got {
        wait::within(self.next_without_timeout()).await
    }

    /// Like `next`, without a timeout.
    pub async fn next_without_timeout(&mut self) -> Got {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return Got::Message(serde_json::from_str(text.as_str()).unwrap());
                }
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame| frame.code.into());
                    return Got::Closed(code);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Got::Cut,
            }
        }
    }

    /// Receives the next message, which must have this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        match self.next().await {
            Got::Message(message) if message["type"] == kind => message,
            other => panic!("not {kind:?}: {other:?}"),
        }
    }

    /// Skips messages until one matches.
    pub async fn until(&mut self, is_it: impl Fn(&Value) -> bool) {
        loop {
            match self.next().await {
                Got::Message(message) if is_it(&message) => return,
                Got::Message(_) => {}
                end => panic!("{end:?}"),
            }
        }
    }

    /// Receives an error message followed by a close, and returns its text.
    pub async fn expect_error(&mut self) -> String {
        let Got::Message(message) = self.next().await else { panic!("no message") };
        let text = message["error"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned();
        assert_eq!(message.as_object().unwrap().len(), 1, "{message}");
        assert_eq!(self.next().await, Got::Closed(1000));
        text
    }

    pub async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }
}
