use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than a ready server takes.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Version 3.0 of the protocol.
const VERSION: [u8; 4] = [0, 3, 0, 0];

/// Whether the server lets a client in, or keeps it out for a reason other than that it is still starting.
pub(super) fn is_welcome(addr: SocketAddr) -> bool {
    greet(addr).unwrap_or(false)
}

fn greet(addr: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&addr, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let parameters = b"user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(4 + VERSION.len() + parameters.len()).unwrap_or(0);
    stream.write_all(&[&length.to_be_bytes(), &VERSION[..], parameters].concat())?;
    loop {
        let (kind, body) = message(&mut stream)?;
        match kind {
            // ReadyForQuery. Terminate, so that it is not logged as a broken connection.
            b'Z' => {
                stream.write_all(&[b'X', 0, 0, 0, 4])?;
                // Its backend has gone when it closes the connection, so that a test finds nobody else connected.
                let _ = stream.read(&mut [0; 1]);
                return Ok(true);
            }
            // ErrorResponse: fields of a letter and a text that ends with 0; C is the SQLSTATE.
            b'E' => {
                let starting = body.split(|byte| *byte == 0).any(|field| field == b"C57P03");
                return Ok(!starting);
            }
            _ => {}
        }
    }
}

fn message(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let length = u32::from_be_bytes(length).saturating_sub(4);
    let mut body = Vec::new();
    stream.take(length.into()).read_to_end(&mut body)?;
    Ok((kind, body))
}
