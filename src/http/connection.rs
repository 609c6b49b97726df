//! The connections of clients: how many, how slow they may be, and how they end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_io_timeout::TimeoutWriter;
use tower::Service;

use crate::config::Limits;

/// The pause after the system refuses a connection, for lack of file handles as a rule.
const BREATH: Duration = Duration::from_millis(100);

/// How long connections may finish what they are sending when the server ends.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long a client may take nothing of an answer that is there. One that never reads would
/// keep its connection, which is one of a limited number, and what was made for it.
const LONGEST_STALL: Duration = Duration::from_secs(30);

/// What one connection too many is told.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\ncontent-length: 53\r\nretry-after: 10\r\n\
    connection: close\r\n\r\n{\"detail\":\"the server has as many clients as it may\"}";

/// Answers clients until `ending` turns true, and then lets the connections run out.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    mut ending: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    // Nothing is ever sent: all connections have ended when the last sender is gone.
    let (alive, mut all_gone) = mpsc::channel::<Infallible>(1);
    let connections =
        Connections { router, limits, ending: ending.clone(), longest_stall: LONGEST_STALL };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ending.wait_for(|ending| *ending) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        match slots.clone().try_acquire_owned() {
            Ok(slot) => {
                let (connections, alive) = (connections.clone(), alive.clone());
                tokio::spawn(async move {
                    connections.one(stream, peer, slot).await;
                    drop(alive);
                });
            }
            Err(_) => {
                tokio::spawn(refuse(stream));
            }
        }
    }
    drop((listener, alive));
    if tokio::time::timeout(LAST_WORDS, all_gone.recv()).await.is_err() {
        tracing::warn!("connections were cut that did not end in time");
    }
}

async fn refuse(mut stream: TcpStream) {
    let _ = tokio::time::timeout(BREATH, stream.write_all(TOO_MANY)).await;
}

#[derive(Clone)]
struct Connections {
    router: Router,
    limits: Limits,
    ending: watch::Receiver<bool>,
    longest_stall: Duration,
}

impl Connections {
    async fn one(mut self, stream: TcpStream, peer: SocketAddr, _slot: OwnedSemaphorePermit) {
        // Answers are written whole, and waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        // An answer may be long in the making and a stream may be silent for an hour, so the limit
        // counts only while there is something to write and none of it is taken.
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(self.longest_stall));
        let stream = Box::pin(stream);
        let begun = Arc::new(Notify::new());
        let (router, first) = (self.router.clone(), begun.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            first.notify_one();
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().call(request)
        });
        // hyper's limit counts from the end of the request before, so it is the one for idle
        // connections; the first request has its own.
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.keep_alive)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let mut first_head =
            std::pin::pin!(tokio::time::timeout(self.limits.header_time, begun.notified()));
        let mut ending = std::pin::pin!(self.ending.wait_for(|ending| *ending));
        let (mut has_begun, mut told) = (false, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection broke off");
                    }
                    return;
                }
                in_time = first_head.as_mut(), if !has_begun => match in_time {
                    Ok(()) => has_begun = true,
                    Err(_) => return,
                },
                _ = ending.as_mut(), if !told => {
                    connection.as_mut().graceful_shutdown();
                    told = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use axum::routing::get;
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::config::Settings;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(TOO_MANY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }

    const LONG: usize = 64 * 1024 * 1024;

    /// A client that has asked for a long answer, and what serves it.
    async fn asked_for_much(
        longest_stall: Duration,
        slots: &Arc<Semaphore>,
    ) -> (TcpStream, impl Future<Output = ()> + use<>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let limits = Settings::from_map(&HashMap::new()).unwrap().limits;
        let (end, ending) = watch::channel(false);
        let router = Router::new().route("/", get(|| async { vec![0; LONG] }));
        let connections = Connections { router, limits, ending, longest_stall };
        let slot = slots.clone().try_acquire_owned().unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let served = async move {
            let _end = end;
            connections.one(stream, peer, slot).await;
        };
        (client, served)
    }

    #[tokio::test]
    async fn a_client_that_never_reads_gives_its_slot_back() {
        let slots = Arc::new(Semaphore::new(1));
        let (_client, served) = asked_for_much(Duration::from_millis(200), &slots).await;
        tokio::time::timeout(Duration::from_secs(20), served).await.expect("it goes on for ever");
        assert_eq!(slots.available_permits(), 1);
    }

    /// It takes more than the limit as a whole, but never so long without reading anything.
    #[tokio::test]
    async fn a_client_that_reads_slowly_gets_the_whole_answer() {
        let slots = Arc::new(Semaphore::new(1));
        let longest_stall = Duration::from_secs(1);
        let (mut client, served) = asked_for_much(longest_stall, &slots).await;
        let served = tokio::spawn(served);
        let begun = tokio::time::Instant::now();
        let mut pace = tokio::time::interval(longest_stall / 10);
        let mut read = vec![0; 1024 * 1024];
        let mut received = 0;
        while begun.elapsed() < longest_stall * 2 {
            pace.tick().await;
            received += client.read_exact(&mut read).await.expect("it was cut off");
        }
        received += client.read_to_end(&mut Vec::new()).await.expect("it was cut off");
        assert!(received > LONG, "{received} bytes");
        served.await.unwrap();
    }
}
