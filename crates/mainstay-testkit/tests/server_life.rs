//! Every server starts, answers, is stopped, resumed, killed and started again, and nothing is left of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(dead_code, reason = "each test file uses some of it")]

mod ask;

use std::collections::HashSet;
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use ask::{is_refused, is_silent};
use mainstay_testkit::{GrpcServer, HttpServer, PostgresServer, RedisServer, TestkitError};

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(10);

fn asks_redis(addr: SocketAddr, limit: Duration) -> std::io::Result<()> {
    ask::redis_within(addr, "PING", limit).map(|answer| assert_eq!(answer, "+PONG"))
}

fn asks_postgres(addr: SocketAddr, limit: Duration) -> std::io::Result<()> {
    ask::postgres_within(addr, "SELECT 1 + 1", limit).map(|answer| assert_eq!(answer, "2"))
}

fn asks_http(addr: SocketAddr, limit: Duration) -> std::io::Result<()> {
    ask::http_within(addr, "GET /status/200", limit).map(|(_, is_whole)| assert!(is_whole))
}

/// It speaks HTTP/2: the server's settings come unasked.
fn asks_grpc(addr: SocketAddr, limit: Duration) -> std::io::Result<()> {
    use std::io::{Read, Write};

    let mut stream = TcpStream::connect_timeout(&addr, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    assert_eq!(head[3], 4, "a SETTINGS frame");
    Ok(())
}

macro_rules! lives {
    ($name:ident, $Server:ident, $scheme:literal, $asks:ident) => {
        #[test]
        fn $name() {
            let mut server = $Server::start().unwrap();
            let (addr, first) = (server.addr(), server.pid());
            assert_eq!(addr, SocketAddr::from(([127, 0, 0, 1], server.port())));
            assert!(server.url().starts_with($scheme) && server.url().contains(&addr.to_string()));
            assert_eq!(server.url_at(addr), server.url());
            $asks(addr, LONG).unwrap();

            for _ in 0..3 {
                server.stop().unwrap();
                assert!(is_silent($asks(addr, SHORT)), "stopped, it says nothing");
                server.resume().unwrap();
                $asks(addr, LONG).unwrap();
            }

            server.kill().unwrap();
            assert!(is_refused($asks(addr, LONG)));
            server.kill().unwrap();
            assert!(matches!(server.stop(), Err(TestkitError::NotRunning { .. })));
            assert!(matches!(server.resume(), Err(TestkitError::NotRunning { .. })));

            server.restart().unwrap();
            assert_eq!(server.addr(), addr);
            assert_ne!(server.pid(), first);
            $asks(addr, LONG).unwrap();

            server.stop().unwrap();
            server.restart().unwrap();
            $asks(addr, LONG).unwrap();

            server.stop().unwrap();
            drop(server);
            assert!(is_refused($asks(addr, LONG)));
        }
    };
}

lives!(redis_lives, RedisServer, "redis://", asks_redis);
lives!(postgres_lives, PostgresServer, "postgres://", asks_postgres);
lives!(http_lives, HttpServer, "http://", asks_http);
lives!(grpc_lives, GrpcServer, "http://", asks_grpc);

#[test]
fn what_redis_has_acknowledged_outlives_a_kill() {
    let mut redis = RedisServer::start().unwrap();
    for round in 0..3 {
        ask::redis(redis.addr(), &format!("SET round {round}")).unwrap();
        redis.kill().unwrap();
        redis.restart().unwrap();
        assert_eq!(ask::redis(redis.addr(), "GET round").unwrap(), format!("$1\r\n{round}"));
    }
}

#[test]
fn what_postgres_has_acknowledged_outlives_a_kill() {
    let mut postgres = PostgresServer::start().unwrap();
    ask::postgres(postgres.addr(), "CREATE TABLE rounds (round int)").unwrap();
    for round in 1..=2 {
        ask::postgres(postgres.addr(), &format!("INSERT INTO rounds VALUES ({round})")).unwrap();
        postgres.kill().unwrap();
        postgres.restart().unwrap();
        assert_eq!(ask::postgres(postgres.addr(), "SELECT count(*) FROM rounds").unwrap(), round.to_string());
    }
}

#[test]
fn the_backends_of_postgres_are_stopped_and_killed_too() {
    let mut postgres = PostgresServer::start().unwrap();
    let addr = postgres.addr();
    let busy: Vec<_> =
        (0..5).map(|_| thread::spawn(move || ask::postgres(addr, "SELECT pg_sleep(1000)"))).collect();
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
    ask::eventually("they are at work", || ask::postgres(addr, sleeping).unwrap() == "5");

    postgres.stop().unwrap();
    postgres.resume().unwrap();
    assert_eq!(ask::postgres(addr, sleeping).unwrap(), "5", "they go on");

    postgres.stop().unwrap();
    postgres.kill().unwrap();
    for backend in busy {
        let error = backend.join().unwrap().unwrap_err();
        assert!(!is_silent::<()>(Err(error)), "its connection is broken");
    }
    postgres.restart().unwrap();
    assert_eq!(ask::postgres(addr, sleeping).unwrap(), "0");
}

#[test]
fn settings_and_arguments_reach_the_server_and_stay_over_a_restart() {
    let mut postgres = PostgresServer::start_with(&[("max_connections", "17")]).unwrap();
    let mut redis = RedisServer::start_with(&["--maxmemory", "2mb"]).unwrap();
    for is_restarted in [false, true] {
        if is_restarted {
            postgres.restart().unwrap();
            redis.restart().unwrap();
        }
        assert_eq!(ask::postgres(postgres.addr(), "SHOW max_connections").unwrap(), "17");
        assert!(ask::redis(redis.addr(), "CONFIG GET maxmemory").unwrap().ends_with("\n2097152"));
    }
}

#[test]
fn ten_servers_run_at_once_each_on_its_port() {
    let begun = Instant::now();
    let ports = thread::scope(|scope| {
        let started: Vec<_> = (0..10)
            .map(|number| {
                scope.spawn(move || match number % 5 {
                    0 | 1 => {
                        let server = RedisServer::start().unwrap();
                        asks_redis(server.addr(), LONG).unwrap();
                        (server.port(), Box::new(server) as Box<dyn Send>)
                    }
                    2 => {
                        let server = HttpServer::start().unwrap();
                        asks_http(server.addr(), LONG).unwrap();
                        (server.port(), Box::new(server) as Box<dyn Send>)
                    }
                    3 => {
                        let server = GrpcServer::start().unwrap();
                        asks_grpc(server.addr(), LONG).unwrap();
                        (server.port(), Box::new(server) as Box<dyn Send>)
                    }
                    _ => {
                        let server = PostgresServer::start().unwrap();
                        asks_postgres(server.addr(), LONG).unwrap();
                        (server.port(), Box::new(server) as Box<dyn Send>)
                    }
                })
            })
            .collect();
        let servers: Vec<_> = started.into_iter().map(|thread| thread.join().unwrap()).collect();
        servers.iter().map(|(port, _)| *port).collect::<HashSet<_>>()
    });
    assert_eq!(ports.len(), 10, "after {:?}", begun.elapsed());
}

#[test]
fn a_panic_tears_everything_down() {
    let mut addrs = Vec::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let redis = RedisServer::start().unwrap();
        let mut postgres = PostgresServer::start().unwrap();
        let http = HttpServer::start().unwrap();
        postgres.stop().unwrap();
        addrs.extend([redis.addr(), postgres.addr(), http.addr()]);
        std::panic::resume_unwind(Box::new("the test fails"));
    }));
    assert!(panicked.is_err());
    assert_eq!(addrs.len(), 3);
    for addr in addrs {
        assert!(is_refused(TcpStream::connect(addr)));
    }
}

#[test]
fn a_missing_binary_is_an_error_that_names_the_package() {
    let error = RedisServer::builder().binary("/nowhere/redis-server").start().unwrap_err();
    assert!(matches!(error, TestkitError::MissingBinary { .. }));
    let text = error.to_string();
    assert!(text.contains("/nowhere/redis-server was not found; install it with `"), "{text}");
    assert!(text.contains("redis`") || text.contains("redis-server`") || text.contains("valkey`"), "{text}");

    let text = PostgresServer::builder().binaries("/nowhere").start().unwrap_err().to_string();
    assert!(text.contains("/nowhere/postgres was not found; install it with `"), "{text}");
    assert!(text.contains("postgresql"), "{text}");
}

#[test]
fn a_server_that_does_not_start_is_an_error_with_its_words() {
    let text = RedisServer::start_with(&["--no-such-thing", "1"]).unwrap_err().to_string();
    assert!(text.contains("ended before it was ready") && text.contains("no-such-thing"), "{text}");
    let text = PostgresServer::start_with(&[("no_such_thing", "1")]).unwrap_err().to_string();
    assert!(text.contains("ended before it was ready") && text.contains("no_such_thing"), "{text}");
}
