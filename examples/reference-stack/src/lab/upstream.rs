//! The upstream: a small HTTP server in a process of its own, so that it can be killed and stopped for real.
//!
//! `GET /work` is what callers want from it. Under `/admin` the drill makes it fail, and reads what arrived.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Args;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket};

use crate::lab::counts::{Count, Counts};

/// How long a piece of work takes.
const WORK: Duration = Duration::from_millis(3);

/// What the upstream prints before its address once it listens.
pub(crate) const LISTENING: &str = "listening on ";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Exit when standard input closes, which it does when the process that started this one is gone
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

#[derive(Clone, Default)]
struct Upstream {
    arrived: Counts,
    erroring: Arc<AtomicBool>,
}

/// Serves until the process ends.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let listener = listen(options.listen)
        .with_context(|| format!("the upstream cannot listen on {}", options.listen))?;
    println!("{LISTENING}{}", listener.local_addr()?);

    let server = axum::serve(listener, router());
    if options.until_stdin_closes {
        tokio::select! {
            served = server => served?,
            () = orphaned() => {}
        }
    } else {
        server.await?;
    }
    Ok(())
}

/// Listens with room for the connections of a whole hang. With the usual 128, those that come later are neither taken
/// nor refused, and come through only seconds after the process goes on.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4_096)
}

fn router() -> Router {
    Router::new()
        .route("/work", get(work))
        .route("/admin/mode/{mode}", post(mode))
        .route("/admin/counts", get(counts))
        .with_state(Upstream::default())
}

async fn work(State(upstream): State<Upstream>, headers: HeaderMap) -> (StatusCode, &'static str) {
    upstream.arrived.forwarded(&headers);
    tokio::time::sleep(WORK).await;
    if upstream.erroring.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "the upstream fails, as it was told to\n")
    } else {
        (StatusCode::OK, "work done\n")
    }
}

async fn mode(State(upstream): State<Upstream>, Path(mode): Path<String>) -> StatusCode {
    match mode.as_str() {
        "ok" => upstream.erroring.store(false, Ordering::Relaxed),
        "errors" => upstream.erroring.store(true, Ordering::Relaxed),
        _ => return StatusCode::NOT_FOUND,
    }
    StatusCode::NO_CONTENT
}

async fn counts(State(upstream): State<Upstream>) -> Json<Vec<Count>> {
    Json(upstream.arrived.rows())
}

/// Returns when the parent process is gone. On Linux the kernel sees to it even while this process is stopped.
async fn orphaned() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        // Best effort: standard input is watched as well.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
    }
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 64];
    while stdin.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
}
