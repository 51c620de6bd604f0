//! One question and its answer, over a new plain connection, with 10 s at most for each read.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(10);

fn connect(addr: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, limit)?;
    stream.set_read_timeout(Some(limit))?;
    Ok(stream)
}

/// All of Redis's answer, its last line without the end.
pub(crate) fn redis(addr: SocketAddr, command: &str) -> io::Result<String> {
    redis_within(addr, command, LIMIT)
}

pub(crate) fn redis_within(addr: SocketAddr, command: &str, limit: Duration) -> io::Result<String> {
    let mut stream = connect(addr, limit)?;
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes())?;
    let mut answers = String::new();
    stream.read_to_string(&mut answers)?;
    answers
        .strip_suffix("\r\n+OK\r\n")
        .map(Into::into)
        .ok_or_else(|| io::Error::new(ErrorKind::UnexpectedEof, answers.clone()))
}

/// The text of all rows of PostgreSQL's answer, or its error's SQLSTATE.
pub(crate) fn postgres(addr: SocketAddr, query: &str) -> io::Result<String> {
    postgres_within(addr, query, LIMIT)
}

pub(crate) fn postgres_within(addr: SocketAddr, query: &str, limit: Duration) -> io::Result<String> {
    let mut stream = connect(addr, limit)?;
    let start = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    stream.write_all(&[&(start.len() as u32 + 4).to_be_bytes(), &start[..]].concat())?;
    let mut text = String::new();
    let mut asked = false;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let mut body = vec![0; u32::from_be_bytes(head[1..].try_into().unwrap()) as usize - 4];
        stream.read_exact(&mut body)?;
        match head[0] {
            b'Z' if asked => return Ok(text),
            b'Z' => {
                asked = true;
                let length = query.len() as u32 + 5;
                stream.write_all(&[b"Q", &length.to_be_bytes()[..], query.as_bytes(), b"\0"].concat())?;
            }
            // A row: the number of columns; of each its length and its text.
            b'D' => text += &String::from_utf8_lossy(&body[6..]),
            b'E' => {
                let code = body.split(|byte| *byte == 0).find(|field| field.first() == Some(&b'C')).unwrap();
                return Err(io::Error::other(String::from_utf8_lossy(&code[1..]).into_owned()));
            }
            _ => {}
        }
    }
}

/// All of an HTTP answer, head and body, as far as it came; and whether it came to its end. The request is its line,
/// without the version, and its body.
pub(crate) fn http(addr: SocketAddr, request: &str) -> io::Result<(String, bool)> {
    http_within(addr, request, LIMIT)
}

pub(crate) fn http_within(addr: SocketAddr, request: &str, limit: Duration) -> io::Result<(String, bool)> {
    let mut stream = connect(addr, limit)?;
    let (line, body) = request.split_once('\n').unwrap_or((request, ""));
    let length = body.len();
    write!(
        stream,
        "{line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = Vec::new();
    let whole = stream.read_to_end(&mut answer);
    if answer.is_empty() {
        whole?;
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let promised = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let is_whole = match promised {
        Some(length) => length.parse() == Ok(body.len()),
        None => !head.contains("chunked") || body.ends_with("0\r\n\r\n"),
    };
    Ok((answer, is_whole))
}

/// Waits for something for 10 s at most.
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn is_refused<T>(result: io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}

pub(crate) fn is_silent<T>(result: io::Result<T>) -> bool {
    matches!(result, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}
