//! When a test's process is killed, its servers end too, and their directories go.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(dead_code, reason = "each test file uses some of it")]

mod ask;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::{env, fs, thread};

use mainstay_testkit::{GrpcServer, HttpServer, PostgresServer, RedisServer};

/// Set in the process that is to be killed.
const VICTIM: &str = "MAINSTAY_TESTKIT_VICTIM";

#[test]
fn servers_end_when_the_process_that_started_them_is_killed() {
    let directory = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir_in("/tmp")
        .unwrap();
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", "plays_the_victim", "--nocapture"])
        .env(VICTIM, "yes")
        .env("TMPDIR", directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let addrs: Vec<SocketAddr> = lines
        .filter_map(|line| line.strip_prefix("started ").map(|addr| addr.parse().unwrap()))
        .take(5)
        .collect();
    assert_eq!(addrs.len(), 5);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 5);
    victim.kill().unwrap();
    victim.wait().unwrap();
    for addr in addrs {
        ask::eventually("the server has ended", || TcpStream::connect(addr).is_err());
    }
    ask::eventually("nothing is left", || fs::read_dir(&directory).unwrap().count() == 0);
}

/// Not a test by itself: it is what the other one runs and kills.
#[test]
fn plays_the_victim() {
    if env::var_os(VICTIM).is_none() {
        return;
    }
    let (redis, postgres, stopped, http, grpc) = thread::scope(|scope| {
        let redis = scope.spawn(RedisServer::start);
        let postgres = scope.spawn(PostgresServer::start);
        let stopped = scope.spawn(PostgresServer::start);
        let http = scope.spawn(HttpServer::start);
        let grpc = scope.spawn(GrpcServer::start);
        (redis.join(), postgres.join(), stopped.join(), http.join(), grpc.join())
    });
    let (mut redis, postgres) = (redis.unwrap().unwrap(), postgres.unwrap().unwrap());
    let mut stopped = stopped.unwrap().unwrap();
    let (http, grpc) = (http.unwrap().unwrap(), grpc.unwrap().unwrap());
    redis.stop().unwrap();
    stopped.stop().unwrap();
    for addr in [redis.addr(), postgres.addr(), stopped.addr(), http.addr(), grpc.addr()] {
        println!("\nstarted {addr}");
    }
    loop {
        thread::park();
    }
}
