//! A server that is none.

use std::io;
use std::net::TcpListener;

/// A listener that answers every connection with the same bytes, whatever it is asked.
pub(crate) fn says(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = io::Read::read(&mut stream, &mut [0; 1024]);
            let _ = io::Write::write_all(&mut stream, answer);
        }
    });
    url
}
