#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
//! What a plain TCP client sees of each fault.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use mainstay_testkit::{Fault, FaultProxy};

/// A proxy in front of a listener of this test.
struct Bench {
    proxy: FaultProxy,
    upstream: TcpListener,
}

impl Bench {
    fn new() -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = FaultProxy::start(upstream.local_addr().unwrap()).unwrap();
        Self { proxy, upstream }
    }

    /// A connection: its client's side and its server's.
    fn connect(&self) -> (TcpStream, TcpStream) {
        let client = patient(connect(self.proxy.addr()).unwrap());
        let server = patient(self.upstream.accept().unwrap().0);
        (client, server)
    }
}

fn connect(addr: SocketAddr) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&addr, Duration::from_secs(10))
}

/// What it waits for comes within 10 s.
fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn says(from: &mut TcpStream, to: &mut TcpStream, words: &str) {
    from.write_all(words.as_bytes()).unwrap();
    let mut heard = vec![0; words.len()];
    to.read_exact(&mut heard).unwrap();
    assert_eq!(heard, words.as_bytes());
}

/// Nothing comes for a while.
fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let read = stream.read(&mut [0; 16]);
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    matches!(read, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

fn is_reset(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 16]), Err(error) if error.kind() == ErrorKind::ConnectionReset)
}

/// The reset may come before the connect returns.
fn is_reset_as_it_comes(addr: SocketAddr) -> bool {
    match connect(addr) {
        Ok(client) => is_reset(&mut patient(client)),
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn has_ended(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 16]), Ok(0))
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn without_a_fault_everything_passes_both_ways() {
    let bench = Bench::new();
    let (mut client, mut server) = bench.connect();
    says(&mut client, &mut server, "a question");
    says(&mut server, &mut client, "an answer");

    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut heard = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            server.write_all(&sent).unwrap();
            server.shutdown(Shutdown::Write).unwrap();
        });
        client.read_to_end(&mut heard).unwrap();
    });
    assert!(heard == sent, "3 MB arrive as they were sent");
}

#[test]
fn an_end_is_passed_on_and_the_other_direction_goes_on() {
    let bench = Bench::new();
    let (mut client, mut server) = bench.connect();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(has_ended(&mut server));
    says(&mut server, &mut client, "late, but still");
    drop(server);
    assert!(has_ended(&mut client));
    eventually("the connection is not counted any more", || bench.proxy.connections() == 0);
}

#[test]
fn a_server_that_is_not_there_resets() {
    let bench = Bench::new();
    drop(bench.upstream);
    assert!(is_reset_as_it_comes(bench.proxy.addr()));
}

#[test]
fn a_broken_server_is_passed_on_as_a_reset() {
    let bench = Bench::new();
    let (mut client, mut server) = bench.connect();
    says(&mut client, &mut server, "hello");
    client.write_all(b"unread").unwrap();
    server.peek(&mut [0; 1]).unwrap();
    // Closed with bytes unread, a socket is reset by the kernel.
    drop(server);
    assert!(is_reset(&mut client));
}

#[test]
fn refuse_closes_the_listener_and_leaves_connections_alone() {
    let bench = Bench::new();
    let (mut client, mut server) = bench.connect();
    for _ in 0..20 {
        bench.proxy.set(Fault::Refuse);
        assert_eq!(bench.proxy.fault(), Fault::Refuse);
        assert_eq!(connect(bench.proxy.addr()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        says(&mut client, &mut server, "still here");

        bench.proxy.set(Fault::None);
        let (mut another, mut at_server) = bench.connect();
        says(&mut another, &mut at_server, "open again");
    }
}

#[test]
fn a_black_hole_swallows_both_ways_and_closes_nothing() {
    let bench = Bench::new();
    let (mut client, mut server) = bench.connect();
    says(&mut client, &mut server, "before");
    bench.proxy.set(Fault::BlackHole);

    // More than any buffers hold: it is read and thrown away.
    client.write_all(&vec![1; 20_000_000]).unwrap();
    server.write_all(&vec![1; 20_000_000]).unwrap();
    assert!(is_silent(&mut client) && is_silent(&mut server));

    let mut another = patient(connect(bench.proxy.addr()).unwrap());
    another.write_all(b"anybody there?").unwrap();
    assert!(is_silent(&mut another));

    bench.proxy.set(Fault::None);
    client.write_all(b"after").unwrap();
    assert!(is_silent(&mut server), "bytes were lost on it");
    assert!(is_silent(&mut another), "bytes were lost on it");
    let (mut new, mut at_server) = bench.connect();
    says(&mut new, &mut at_server, "new ones work");
    assert_eq!((bench.proxy.connections(), bench.proxy.accepted()), (3, 3));

    drop(client);
    eventually("a client that leaves is counted", || bench.proxy.connections() == 2);
    assert!(is_silent(&mut server), "and its server does not hear of it");
    bench.proxy.set(Fault::Reset);
    assert!(is_reset(&mut server) && is_reset(&mut another) && is_reset(&mut new));
}

#[test]
fn a_delay_holds_back_each_way_and_keeps_the_rate() {
    let bench = Bench::new();
    let (mut client, mut server) = bench.connect();
    let delay = Duration::from_millis(100);
    bench.proxy.set(Fault::Delay(delay));
    let begun = Instant::now();
    says(&mut client, &mut server, "question");
    assert!(begun.elapsed() >= delay);
    says(&mut server, &mut client, "answer");
    assert!(begun.elapsed() >= 2 * delay);

    // Twenty pieces on the way at once take one delay, not twenty.
    let begun = Instant::now();
    for _ in 0..20 {
        client.write_all(b"piece").unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    server.read_exact(&mut [0; 100]).unwrap();
    assert!(begun.elapsed() < 10 * delay, "{:?}", begun.elapsed());
}

#[test]
fn what_a_delay_holds_back_arrives_when_it_is_over() {
    let bench = Bench::new();
    let (mut client, mut server) = bench.connect();
    bench.proxy.set(Fault::Delay(Duration::MAX));
    client.write_all(b"hello").unwrap();
    assert!(is_silent(&mut server));
    bench.proxy.set(Fault::None);
    let mut heard = [0; 5];
    server.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
}

#[test]
fn a_limit_holds_the_rate() {
    let bench = Bench::new();
    let (mut client, mut server) = bench.connect();
    bench.proxy.set(Fault::Limit { bytes_per_second: 100_000 });
    let begun = Instant::now();
    server.write_all(&[7; 50_000]).unwrap();
    client.read_exact(&mut [0; 50_000]).unwrap();
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(400), "half a second's worth took {took:?}");
    assert!(took < Duration::from_secs(5), "half a second's worth took {took:?}");

    bench.proxy.set(Fault::Limit { bytes_per_second: 0 });
    server.write_all(b"held").unwrap();
    assert!(is_silent(&mut client));
    bench.proxy.set(Fault::None);
    client.read_exact(&mut [0; 4]).unwrap();
}

#[test]
fn a_cut_passes_exactly_so_many_bytes_of_the_answer() {
    let bench = Bench::new();
    let (mut client, mut server) = bench.connect();
    says(&mut server, &mut client, "not counted");
    bench.proxy.set(Fault::CutAfter { bytes: 5 });
    says(&mut client, &mut server, "questions are not counted");
    let (mut another, mut at_server) = bench.connect();
    for (server, client) in [(&mut server, &mut client), (&mut at_server, &mut another)] {
        server.write_all(b"good morning").unwrap();
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"good ");
        let mut rest = Vec::new();
        // The server sees an end, or a reset if the proxy had not read all of its answer.
        let _ = server.read_to_end(&mut rest);
    }
    eventually("cut connections are not counted", || bench.proxy.connections() == 0);
}

#[test]
fn a_cut_after_nothing_is_at_once() {
    let bench = Bench::new();
    let (mut client, _server) = bench.connect();
    bench.proxy.set(Fault::CutAfter { bytes: 0 });
    assert!(has_ended(&mut client));
    let mut another = patient(connect(bench.proxy.addr()).unwrap());
    assert!(has_ended(&mut another));
}

#[test]
fn a_reset_hits_open_connections_and_new_ones() {
    let bench = Bench::new();
    let (mut client, mut server) = bench.connect();
    says(&mut client, &mut server, "still well");
    bench.proxy.set(Fault::Reset);
    assert_eq!(bench.proxy.connections(), 0);
    assert!(is_reset(&mut client));
    assert!(is_reset(&mut server));
    assert!(is_reset_as_it_comes(bench.proxy.addr()));

    bench.proxy.set(Fault::None);
    for _ in 0..50 {
        let (mut client, mut server) = bench.connect();
        bench.proxy.set(Fault::Reset);
        assert!(is_reset(&mut client));
        assert!(is_reset(&mut server));
        bench.proxy.set(Fault::None);
    }
    let (mut client, mut server) = bench.connect();
    says(&mut client, &mut server, "as new");
}

#[test]
fn dropping_the_proxy_closes_everything() {
    let bench = Bench::new();
    let (mut client, mut server) = bench.connect();
    let addr = bench.proxy.addr();
    drop(bench.proxy);
    assert!(matches!(client.read(&mut [0; 1]), Ok(0) | Err(_)));
    assert!(matches!(server.read(&mut [0; 1]), Ok(0) | Err(_)));
    assert!(connect(addr).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_does_not_reach_the_proxy() {
    let bench = Bench::new();
    let (mut client, mut server) = bench.connect();
    bench.proxy.set(Fault::Delay(Duration::from_millis(30)));
    says(&mut client, &mut server, "hello");
}
