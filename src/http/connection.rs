//! Client connections: their limits, timeouts and graceful shutdown.

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

/// The pause after `accept` fails, typically because the process is out of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// How long a connection over the limit has to take its 503.
const REJECT_TIMEOUT: Duration = Duration::from_millis(100);

/// How long a shutdown waits for connections to finish their response.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a pending write may make no progress. A client that never reads would otherwise hold
/// its slot and the response forever.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The response to connections over the limit.
const LIMIT_REACHED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\ncontent-length: 44\r\nretry-after: 10\r\n\
    connection: close\r\n\r\n{\"detail\":\"the connection limit is reached\"}";

/// Serves connections until `ending` becomes true, and then waits for them to finish.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    mut ending: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    // Nothing is ever sent. The channel closes when the last connection drops its sender.
    let (alive, mut all_closed) = mpsc::channel::<Infallible>(1);
    let connections =
        Connections { router, limits, ending: ending.clone(), write_timeout: WRITE_TIMEOUT };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ending.wait_for(|ending| *ending) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        match slots.clone().try_acquire_owned() {
            Ok(slot) => {
                let (connections, alive) = (connections.clone(), alive.clone());
                tokio::spawn(async move {
                    connections.serve_one(stream, peer, slot).await;
                    drop(alive);
                });
            }
            Err(_) => {
                tokio::spawn(reject(stream));
            }
        }
    }
    drop((listener, alive));
    if tokio::time::timeout(DRAIN_TIMEOUT, all_closed.recv()).await.is_err() {
        tracing::warn!("closed connections that did not finish in time");
    }
}

async fn reject(mut stream: TcpStream) {
    let _ = tokio::time::timeout(REJECT_TIMEOUT, stream.write_all(LIMIT_REACHED)).await;
}

#[derive(Clone)]
struct Connections {
    router: Router,
    limits: Limits,
    ending: watch::Receiver<bool>,
    write_timeout: Duration,
}

impl Connections {
    async fn serve_one(mut self, stream: TcpStream, peer: SocketAddr, _slot: OwnedSemaphorePermit) {
        // hyper writes whole responses, which Nagle's algorithm would only delay.
        let _ = stream.set_nodelay(true);
        // A response may take long to compute and a stream may be silent for an hour, so the timer
        // runs only while a write is pending.
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(self.write_timeout));
        let stream = Box::pin(stream);
        let first_request = Arc::new(Notify::new());
        let (router, arrived) = (self.router.clone(), first_request.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            arrived.notify_one();
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().call(request)
        });
        // hyper's timer starts at the end of the previous request, so it limits idle connections;
        // the first request has a limit of its own.
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.keep_alive)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let mut first_head =
            std::pin::pin!(tokio::time::timeout(self.limits.header_time, first_request.notified()));
        let mut ending = std::pin::pin!(self.ending.wait_for(|ending| *ending));
        let (mut has_begun, mut is_draining) = (false, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection failed");
                    }
                    return;
                }
                in_time = first_head.as_mut(), if !has_begun => match in_time {
                    Ok(()) => has_begun = true,
                    Err(_) => return,
                },
                _ = ending.as_mut(), if !is_draining => {
                    connection.as_mut().graceful_shutdown();
                    is_draining = true;
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
    fn the_rejection_has_the_right_content_length() {
        let text = std::str::from_utf8(LIMIT_REACHED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }

    const RESPONSE_SIZE: usize = 64 * 1024 * 1024;

    /// A client that requested a long response, and the future that serves it.
    async fn long_response(
        write_timeout: Duration,
        slots: &Arc<Semaphore>,
    ) -> (TcpStream, impl Future<Output = ()> + use<>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let limits = Settings::from_map(&HashMap::new()).unwrap().limits;
        let (end, ending) = watch::channel(false);
        let router = Router::new().route("/", get(|| async { vec![0; RESPONSE_SIZE] }));
        let connections = Connections { router, limits, ending, write_timeout };
        let slot = slots.clone().try_acquire_owned().unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let served = async move {
            let _end = end;
            connections.serve_one(stream, peer, slot).await;
        };
        (client, served)
    }

    #[tokio::test]
    async fn a_client_that_never_reads_is_disconnected() {
        let slots = Arc::new(Semaphore::new(1));
        let (_client, served) = long_response(Duration::from_millis(200), &slots).await;
        tokio::time::timeout(Duration::from_secs(20), served)
            .await
            .expect("the connection stays open");
        assert_eq!(slots.available_permits(), 1);
    }

    /// The whole response takes longer than the timeout, but no single write does.
    #[tokio::test]
    async fn a_client_that_reads_slowly_gets_the_whole_response() {
        let slots = Arc::new(Semaphore::new(1));
        let write_timeout = Duration::from_secs(1);
        let (mut client, served) = long_response(write_timeout, &slots).await;
        let served = tokio::spawn(served);
        let begun = tokio::time::Instant::now();
        let mut pace = tokio::time::interval(write_timeout / 10);
        let mut read = vec![0; 1024 * 1024];
        let mut received = 0;
        while begun.elapsed() < write_timeout * 2 {
            pace.tick().await;
            received += client.read_exact(&mut read).await.expect("the connection was closed");
        }
        received += client.read_to_end(&mut Vec::new()).await.expect("the connection was closed");
        assert!(received > RESPONSE_SIZE, "{received} bytes");
        served.await.unwrap();
    }
}
