//! `GET /ws/vm-status`: the live status of guests over a WebSocket.
//!
//! What is refused is refused before the upgrade, in JSON. After it, a client is told what
//! [`crate::live_status`] has for it, and whatever it sends is passed over.

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
use crate::http::body::{Errors, FieldError, Rule, Step};
use crate::http::error::{error_response, invalid};
use crate::http::middleware::cors;
use crate::http::{App, Error};
use crate::live_status::{
    CLOSE_LIMIT, Frame, LiveStatus, NOT_FOUND, Nodes, Seat, Told, View, Wanted, Watching,
    error_frame,
};
use crate::operations::values::NodeName;

/// Where clients connect.
pub const PATH: &str = "/ws/vm-status";

/// Clients have nothing to say, so what they say may not be long.
const LONGEST_FROM_CLIENT: usize = 4096;
/// A connection keeps a buffer of this size for as long as it lives.
const READ_BUFFER: usize = 1024;
/// Pings without an answer after which a client counts as gone.
const MISSED_PINGS: u32 = 2;
/// Seconds after which a client that found no place may ask again.
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
    Query(query): Query<Vec<(String, String)>>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    // A browser lets every page open a WebSocket to anywhere; only the server can say no.
    let origin = headers.get(header::ORIGIN);
    let may_connect = |origin| {
        cors::allows(&app.settings.cors_origin, origin) || cors::is_same_origin(origin, &headers)
    };
    if origin.is_some_and(|origin| !may_connect(origin)) {
        return Ok(error_response(StatusCode::FORBIDDEN, "this origin may not connect"));
    }
    let wish = match Wish::read(&query) {
        Ok(wish) => wish,
        Err(errors) => return Ok(invalid(errors, app.settings.debug)),
    };
    let Ok(upgrade) = upgrade else { return Ok(upgrade_required()) };
    let Some(seat) = app.status.seat() else {
        let detail = "no place for another live status connection".to_owned();
        return Err(Error::Unavailable { detail, retry_after: RETRY_AFTER });
    };
    let status = app.status.clone();
    Ok(upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(LONGEST_FROM_CLIENT)
        .max_frame_size(LONGEST_FROM_CLIENT)
        .on_upgrade(move |socket| serve(socket, status, wish, seat)))
}

fn upgrade_required() -> Response {
    let mut response = error_response(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket");
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let version = HeaderValue::from_static("13");
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, version);
    response
}

/// What a client asks to see.
struct Wish {
    nodes: Wanted,
    containers: bool,
}

impl Wish {
    /// Reads the query. Parameters that are not known are passed over, as with every request.
    fn read(query: &[(String, String)]) -> Result<Self, Vec<FieldError>> {
        let last = |name| query.iter().rev().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
        let mut errors = Errors::default();
        let nodes = last("node").map(|node| {
            if node == "*" {
                return Nodes::All;
            }
            NODE.check(
                &node.into(),
                &mut vec![Step::Name("query"), Step::Name("node")],
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
enum End {
    /// The client is gone, or takes nothing: there is nobody to say anything to.
    Gone,
    /// The client closed it.
    Left,
    /// It was told an error, which was the last message.
    Told,
    /// The server ends.
    ServerEnds,
    /// It sent what cannot be read, which a frame beyond the cap is as well.
    Unreadable,
    /// It answered no ping.
    Silent,
}

async fn serve(mut socket: WebSocket, status: LiveStatus, wish: Wish, seat: Seat) {
    let settings = status.settings();
    let end = tokio::select! {
        end = inform(&mut socket, &status, wish, settings) => end,
        () = status.ending() => End::ServerEnds,
    };
    let close = match end {
        End::Gone => return,
        End::Left => None,
        End::Told => Some((close_code::NORMAL, "")),
        End::ServerEnds => Some((close_code::AWAY, "the server ends")),
        End::Unreadable => Some((close_code::SIZE, "clients have nothing to say here")),
        End::Silent => Some((close_code::ERROR, "no answer to pings")),
    };
    let farewell = async {
        if let Some((code, reason)) = close {
            let frame = CloseFrame { code, reason: reason.into() };
            socket.send(Message::Close(Some(frame))).await.ok()?;
        }
        // Reading on sends the answer to a close. It also keeps the last message safe, which a
        // socket that is closed with something unread in it could destroy on its way.
        while let Some(Ok(_)) = socket.recv().await {}
        Some(())
    };
    let _ = timeout(CLOSE_LIMIT, farewell).await;
    drop(seat);
}

async fn inform(
    socket: &mut WebSocket,
    status: &LiveStatus,
    wish: Wish,
    settings: &StatusSettings,
) -> End {
    let mut client = Client { socket, settings, unanswered: 0 };
    while let Some(watching) = status.watch(wish.nodes.clone(), wish.containers).await {
        // It returns without an end to watch the node that is now the inventory's first.
        if let Err(end) = client.follow(watching).await {
            return end;
        }
    }
    client.send(text(error_frame(NOT_FOUND))).await.err().unwrap_or(End::Told)
}

/// A frame as a message of a WebSocket, without a copy.
fn text(frame: Frame) -> Message {
    Message::Text(Utf8Bytes::try_from(frame).expect("a frame is JSON, and so UTF-8"))
}

struct Client<'a> {
    socket: &'a mut WebSocket,
    settings: &'a StatusSettings,
    unanswered: u32,
}

impl Client<'_> {
    /// Tells the client all there is, until the connection ends or there is something else to
    /// watch.
    async fn follow(&mut self, mut watching: Watching) -> Result<(), End> {
        let every = self.settings.ping_every;
        let mut pings = interval_at(Instant::now() + every, every);
        pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told = Told::default();
        while !watching.is_elsewhere() {
            self.catch_up(&mut watching.view, &mut told).await?;
            tokio::select! {
                changed = watching.view.changed() => changed.map_err(|_| End::Gone)?,
                message = self.socket.recv() => self.pass_over(message)?,
                _ = pings.tick() => self.ping().await?,
            }
        }
        Ok(())
    }

    /// Sends until nothing is left to tell. What came up during a slow send is told next, from
    /// where it has got to by then.
    async fn catch_up(
        &mut self,
        view: &mut watch::Receiver<View>,
        told: &mut Told,
    ) -> Result<(), End> {
        loop {
            let (next, last) = {
                let view = view.borrow_and_update();
                (told.next(&view), view.ended().cloned())
            };
            match (next, last) {
                (Some(frame), _) => self.send(text(frame)).await?,
                (None, Some(last)) => {
                    self.send(text(last)).await?;
                    return Err(End::Told);
                }
                (None, None) => return Ok(()),
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(self.settings.send_limit, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.unanswered == MISSED_PINGS {
            return Err(End::Silent);
        }
        self.unanswered += 1;
        self.send(Message::Ping(Vec::new().into())).await
    }

    fn pass_over(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        match message {
            Some(Ok(Message::Pong(_))) => self.unanswered = 0,
            Some(Ok(Message::Close(_))) => return Err(End::Left),
            None => return Err(End::Gone),
            Some(Ok(_)) => {}
            Some(Err(_)) => return Err(End::Unreadable),
        }
        Ok(())
    }
}
