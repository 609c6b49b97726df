//! `GET /ws/vm-status`: the live status of guests over a WebSocket.
//!
//! Requests are rejected before the upgrade, with a JSON body. After the upgrade, the client
//! receives the messages of [`crate::live_status`]. Its own messages are ignored.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, interval_at, timeout};
use utoipa::PartialSchema;

use crate::config::StatusSettings;
use crate::http::body::{Errors, FieldError, Rule, Segment};
use crate::http::error::{error_response, invalid};
use crate::http::middleware::cors;
use crate::http::{App, Error};
use crate::live_status::{
    CLOSE_TIMEOUT, ClientCursor, ClientPermit, Frame, LiveStatus, NOT_FOUND, Nodes, RequestedNodes,
    Snapshot, Subscription, error_frame,
};
use crate::operations::values::NodeName;

/// The path of the endpoint.
pub const PATH: &str = "/ws/vm-status";

/// The maximum size of a message from a client. Messages are ignored, so it is small.
const MAX_MESSAGE_SIZE: usize = 4096;
/// The size of the read buffer that each connection allocates.
const READ_BUFFER: usize = 1024;
/// The number of unanswered pings after which a connection is closed.
const MAX_MISSED_PINGS: u32 = 2;
/// The `Retry-After` of a 503 response, in seconds.
const RETRY_AFTER: u32 = 30;

static NODE: LazyLock<Rule> = LazyLock::new(|| {
    let schema = serde_json::to_value(NodeName::schema()).expect("a schema is JSON");
    Rule::compile(&Value::Null, &schema)
});

/// The route.
pub fn routes(app: &Arc<App>) -> Router {
    Router::new().route(PATH, get(connect)).with_state(app.clone())
}

async fn connect(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(parameters): Query<Vec<(String, String)>>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    // Browsers do not apply the same-origin policy to WebSockets, so the server checks the origin.
    let origin = headers.get(header::ORIGIN);
    let may_connect = |origin| {
        cors::allows(&app.settings.cors_origin, origin) || cors::is_same_origin(origin, &headers)
    };
    if origin.is_some_and(|origin| !may_connect(origin)) {
        return Ok(error_response(
            StatusCode::FORBIDDEN,
            "this origin is not allowed (CORS_ORIGIN_REGEX)",
        ));
    }
    let query = match StatusQuery::parse(&parameters) {
        Ok(query) => query,
        Err(errors) => return Ok(invalid(errors, app.settings.debug)),
    };
    let Ok(upgrade) = upgrade else { return Ok(upgrade_required()) };
    let Some(permit) = app.status.try_acquire() else {
        let detail = "the live status connection limit is reached".to_owned();
        return Err(Error::Unavailable { detail, retry_after: RETRY_AFTER });
    };
    let status = app.status.clone();
    Ok(upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(MAX_MESSAGE_SIZE)
        .max_frame_size(MAX_MESSAGE_SIZE)
        .on_upgrade(move |socket| serve(socket, status, query, permit)))
}

fn upgrade_required() -> Response {
    let mut response =
        error_response(StatusCode::UPGRADE_REQUIRED, "this endpoint requires a WebSocket upgrade");
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let version = HeaderValue::from_static("13");
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, version);
    response
}

/// The query parameters.
struct StatusQuery {
    nodes: RequestedNodes,
    containers: bool,
}

impl StatusQuery {
    /// Parses the parameters. Unknown ones are ignored, as in all requests.
    fn parse(parameters: &[(String, String)]) -> Result<Self, Vec<FieldError>> {
        let last =
            |name| parameters.iter().rev().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
        let mut errors = Errors::default();
        let nodes = last("node").map(|node| {
            if node == "*" {
                return Nodes::All;
            }
            NODE.check(
                &node.into(),
                &mut vec![Segment::Name("query"), Segment::Name("node")],
                &mut errors,
            );
            Nodes::One(node.to_owned())
        });
        let containers = match last("type") {
            None => false,
            Some("all") => true,
            Some(other) => {
                errors.push(FieldError {
                    kind: "literal_error",
                    loc: vec!["query".into(), "type".into()],
                    msg: "Input should be 'all'".into(),
                    input: Value::from(other).into(),
                    ctx: Some(json!({ "expected": "'all'" })),
                });
                false
            }
        };
        if errors.is_empty() { Ok(Self { nodes, containers }) } else { Err(errors.into_vec()) }
    }
}

/// Why a connection ends.
enum Disconnect {
    /// The connection is broken or the client does not read, so no close frame is sent.
    Broken,
    /// The client closed the connection.
    Closed,
    /// An error was sent as the last message.
    Error,
    /// The server is shutting down.
    Shutdown,
    /// The client sent an invalid or too large frame.
    InvalidFrame,
    /// The client did not answer pings.
    PingTimeout,
}

async fn serve(
    mut socket: WebSocket,
    status: LiveStatus,
    query: StatusQuery,
    permit: ClientPermit,
) {
    let settings = status.settings();
    let disconnect = tokio::select! {
        disconnect = send_status(&mut socket, &status, query, settings) => disconnect,
        () = status.shutdown_started() => Disconnect::Shutdown,
    };
    let close = match disconnect {
        Disconnect::Broken => return,
        Disconnect::Closed => None,
        Disconnect::Error => Some((close_code::NORMAL, "")),
        Disconnect::Shutdown => Some((close_code::AWAY, "the server is shutting down")),
        Disconnect::InvalidFrame => Some((close_code::SIZE, "invalid or too large frame")),
        Disconnect::PingTimeout => Some((close_code::ERROR, "no answer to pings")),
    };
    let closing = async {
        if let Some((code, reason)) = close {
            let frame = CloseFrame { code, reason: reason.into() };
            socket.send(Message::Close(Some(frame))).await.ok()?;
        }
        // Reading completes the closing handshake. It also prevents a TCP reset, which closing a
        // socket with unread data causes, from discarding the last message.
        while let Some(Ok(_)) = socket.recv().await {}
        Some(())
    };
    let _ = timeout(CLOSE_TIMEOUT, closing).await;
    drop(permit);
}

async fn send_status(
    socket: &mut WebSocket,
    status: &LiveStatus,
    query: StatusQuery,
    settings: &StatusSettings,
) -> Disconnect {
    let mut client = Client { socket, settings, unanswered: 0 };
    while let Some(subscription) = status.subscribe(query.nodes.clone(), query.containers).await {
        // Returns without an error if the default node has changed.
        if let Err(disconnect) = client.follow(subscription).await {
            return disconnect;
        }
    }
    client.send(text(error_frame(NOT_FOUND))).await.err().unwrap_or(Disconnect::Error)
}

/// Converts a frame to a WebSocket message without copying.
fn text(frame: Frame) -> Message {
    Message::Text(Utf8Bytes::try_from(frame).expect("a frame is JSON and thus UTF-8"))
}

struct Client<'a> {
    socket: &'a mut WebSocket,
    settings: &'a StatusSettings,
    unanswered: u32,
}

impl Client<'_> {
    /// Sends messages until the connection ends or the default node changes.
    async fn follow(&mut self, mut subscription: Subscription) -> Result<(), Disconnect> {
        let every = self.settings.ping_every;
        let mut pings = interval_at(Instant::now() + every, every);
        pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut cursor = ClientCursor::default();
        while !subscription.default_node_changed() {
            self.catch_up(&mut subscription.snapshot, &mut cursor).await?;
            tokio::select! {
                changed = subscription.snapshot.changed() => changed.map_err(|_| Disconnect::Broken)?,
                message = self.socket.recv() => self.handle(message)?,
                _ = pings.tick() => self.ping().await?,
            }
        }
        Ok(())
    }

    /// Sends messages until the client is up to date, including changes made during a slow send.
    async fn catch_up(
        &mut self,
        snapshot: &mut watch::Receiver<Snapshot>,
        cursor: &mut ClientCursor,
    ) -> Result<(), Disconnect> {
        loop {
            let (next, last) = {
                let snapshot = snapshot.borrow_and_update();
                (cursor.next(&snapshot), snapshot.ended().cloned())
            };
            match (next, last) {
                (Some(frame), _) => self.send(text(frame)).await?,
                (None, Some(last)) => {
                    self.send(text(last)).await?;
                    return Err(Disconnect::Error);
                }
                (None, None) => return Ok(()),
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Disconnect> {
        match timeout(self.settings.send_limit, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Disconnect::Broken),
        }
    }

    async fn ping(&mut self) -> Result<(), Disconnect> {
        if self.unanswered == MAX_MISSED_PINGS {
            return Err(Disconnect::PingTimeout);
        }
        self.unanswered += 1;
        self.send(Message::Ping(Vec::new().into())).await
    }

    fn handle(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), Disconnect> {
        match message {
            Some(Ok(Message::Pong(_))) => self.unanswered = 0,
            Some(Ok(Message::Close(_))) => return Err(Disconnect::Closed),
            None => return Err(Disconnect::Broken),
            Some(Ok(_)) => {}
            Some(Err(_)) => return Err(Disconnect::InvalidFrame),
        }
        Ok(())
    }
}
