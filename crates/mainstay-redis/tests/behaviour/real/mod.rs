//! Real servers, and guards over real connections to them.
#![allow(dead_code, unreachable_pub)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mainstay_breaker::{Breaker, HalfOpen, OpenFor, Trip};
use mainstay_redis::Guarded;
use mainstay_redis::redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use mainstay_redis::redis::{self, AsyncConnectionConfig, Client};
use mainstay_testkit::RedisServer;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// Longer than anything here takes on the slowest machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Opens at the k-th failure in a row, for `open_for`; the first probe that succeeds closes it.
pub fn breaker(k: u32, open_for: Duration) -> Breaker {
    let half_open = HalfOpen { close_after: 1, ..HalfOpen::default() };
    Breaker::builder("redis")
        .trip(Trip::consecutive_failures(k))
        .open_for(OpenFor::fixed(open_for))
        .half_open(half_open)
        .build()
        .unwrap()
}

/// A breaker that a single failure opens, for longer than any test takes.
pub fn touchy() -> Breaker {
    breaker(1, Duration::from_secs(600))
}

pub fn client(server: &RedisServer) -> Client {
    Client::open(server.url()).unwrap()
}

pub async fn multiplexed(url: &str) -> MultiplexedConnection {
    // Ample, so that it is the guard's deadline that is tested.
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(LIMIT));
    Client::open(url).unwrap().get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

pub async fn manager(url: &str) -> ConnectionManager {
    Client::open(url).unwrap().get_connection_manager_with_config(manager_config()).await.unwrap()
}

pub fn manager_config() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_number_of_retries(2)
        .set_min_delay(Duration::from_millis(10))
        .set_response_timeout(Some(LIMIT))
}

pub async fn guarded(server: &RedisServer, breaker: Breaker) -> Guarded<MultiplexedConnection> {
    Guarded::new(multiplexed(&server.url()).await, breaker).deadline(LIMIT)
}

/// Tries until it is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A server that gives one answer to every command, and then goes on or hangs up.
pub async fn parrot(answer: &'static str, hangs_up: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while let Some(name) = command(&mut stream).await {
                    // The driver says its name when it connects.
                    let answer = if name == "CLIENT" { "+OK\r\n" } else { answer };
                    if stream.get_mut().write_all(answer.as_bytes()).await.is_err()
                        || (hangs_up && name != "CLIENT")
                    {
                        return;
                    }
                }
            });
        }
    });
    addr
}

/// Reads one command and says its name.
async fn command(stream: &mut BufReader<tokio::net::TcpStream>) -> Option<String> {
    let mut name = None;
    for _ in 0..number(stream, '*').await? {
        let mut argument = vec![0; number(stream, '$').await? + 2];
        stream.read_exact(&mut argument).await.ok()?;
        name.get_or_insert_with(|| String::from_utf8_lossy(&argument).trim_end().to_owned());
    }
    name
}

async fn number(stream: &mut BufReader<tokio::net::TcpStream>, sign: char) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.trim_end().strip_prefix(sign)?.parse().ok()
}

/// Where nobody listens.
pub const DEAD_PORT: u16 = 1;

/// An error of the server by its code, or of the driver by its kind.
pub fn code(error: &redis::RedisError) -> String {
    error.code().map_or_else(|| format!("{:?}", error.kind()), str::to_owned)
}
