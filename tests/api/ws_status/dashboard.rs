//! A server with its live status, and dashboards that watch it.

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
use crate::ws_status::demo::within;

/// A server on a port of its own, with an inventory that a test may rewrite.
pub struct Server {
    pub address: std::net::SocketAddr,
    client: Client,
    folder: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Polls ten times a second, unless `settings` say otherwise.
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
        // The system would take megabytes for a client that reads nothing; with little room a
        // test need not send as much.
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

    /// A dashboard with a query such as `?node=*`.
    pub async fn dashboard(&self, query: &str) -> Dashboard {
        within(Dashboard::connect(self.address, query, &[])).await.unwrap()
    }

    /// How many clients the server counts.
    pub async fn clients(&self) -> usize {
        self.measured("range42_websocket_clients ").await
    }

    /// How often the server has polled Proxmox with this result.
    pub async fn polls(&self, result: &str) -> usize {
        self.measured(&format!("range42_polls_total{{result=\"{result}\"}} ")).await
    }

    /// The number behind `name` in the metrics; a measure that is not there yet is 0.
    async fn measured(&self, name: &str) -> usize {
        let measured = self.client.get("/metrics").await.text;
        let number = measured.lines().find_map(|line| line.strip_prefix(name));
        number.map_or(0, |number| number.parse().unwrap())
    }

    /// Waits until the server has so many clients.
    pub async fn has_clients(&self, count: usize) {
        within(async {
            while self.clients().await != count {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
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

/// What a client gets.
#[derive(Debug, PartialEq)]
pub enum Got {
    Message(Value),
    Closed(u16),
    /// The connection ended without a close frame.
    Cut,
}

impl Dashboard {
    /// Connects; an error is what the server answered instead of the upgrade.
    pub async fn connect(
        address: std::net::SocketAddr,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Box<Error>> {
        let connection = TcpStream::connect(address).await.unwrap();
        Self::upgrade(connection, query, headers).await
    }

    /// Connects with little room for what it has not read. (With still less, window probes of
    /// TCP would set the pace once it reads.)
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

    /// What comes next, pings passed over (reading answers them).
    pub async fn next(&mut self) -> Got {
        within(self.next_whenever()).await
    }

    /// The same without a bound.
    pub async fn next_whenever(&mut self) -> Got {
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

    /// The next message, which is of this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        match self.next().await {
            Got::Message(message) if message["type"] == kind => message,
            other => panic!("not {kind:?}: {other:?}"),
        }
    }

    /// Passes messages over until there is one like this.
    pub async fn until(&mut self, is_it: impl Fn(&Value) -> bool) {
        loop {
            match self.next().await {
                Got::Message(message) if is_it(&message) => return,
                Got::Message(_) => {}
                end => panic!("{end:?}"),
            }
        }
    }

    /// An error message and then the close: the message's text.
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
