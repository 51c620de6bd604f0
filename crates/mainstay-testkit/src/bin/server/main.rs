//! The HTTP and the gRPC server of the testkit.
//!
//! `mainstay-testkit-server http ADDRESS` or `mainstay-testkit-server grpc ADDRESS [TIMEOUT_MS]`. It says
//! "listening on ADDRESS" when it does, and ends when its standard input ends: when whoever started it is gone.

#![forbid(unsafe_code)]

mod chunks;
mod grpc;
mod http;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, process, thread};

use tokio::net::TcpListener;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mainstay-testkit-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let (kind, addr, timeout) = match arguments {
        [kind, addr] => (*kind, *addr, None),
        [kind, addr, timeout] => (*kind, *addr, Some(Duration::from_millis(timeout.parse()?))),
        _ => return Err("usage: mainstay-testkit-server http|grpc ADDRESS [TIMEOUT_MS]".into()),
    };
    thread::spawn(|| {
        // Nothing comes; it returns at the end.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(addr).await?;
        println!("listening on {}", listener.local_addr()?);
        match kind {
            "http" => http::serve(listener).await,
            "grpc" => grpc::serve(listener, timeout).await,
            other => Err(format!("there is no {other} server").into()),
        }
    })
}
