use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::{CheckError, ErrorClass, IntoProbe, Probe};

/// Connects to an address, and closes the connection. The other side sees a client that says nothing.
///
/// The address is `host:port`, with a name, an IPv4 address, or an IPv6 one in brackets: `"db.internal:5432"`,
/// `"127.0.0.1:25"`, `"[::1]:25"`. Names are resolved anew at each run, and the addresses tried in the order in which
/// the resolver gives them until one lets us connect. The system's resolver blocks a thread of the runtime's: one at most,
/// because a run that finds the lookup of an earlier one still under way waits for that.
///
/// The time that the run takes is that of the lookup and of connecting. No rules, no details; give it a
/// [`latency_above`](crate::Rule::latency_above) that suits the network.
///
/// An address without a port is [`Other`](ErrorClass::Other), at each run.
pub fn tcp(addr: impl Into<String>) -> Probe {
    let target = Arc::new(Target { addr: addr.into(), lookup: Mutex::default() });
    let probe = move || {
        let target = target.clone();
        async move { target.connect().await }
    };
    probe.into_probe()
}

struct Target {
    addr: String,
    /// A lookup that is under way.
    lookup: Mutex<Option<JoinHandle<io::Result<Vec<SocketAddr>>>>>,
}

impl Target {
    async fn connect(&self) -> Result<(), CheckError> {
        let connected = match self.resolve().await {
            Ok(addrs) => TcpStream::connect(&*addrs).await,
            Err(error) => Err(error),
        };
        match connected {
            Ok(_) => Ok(()),
            Err(error) => {
                let text = format_args!("{}: {error}", self.addr);
                Err(CheckError::new(ErrorClass::of(&error), text))
            }
        }
    }

    async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(addr) = self.addr.parse() {
            return Ok(vec![addr]);
        }
        // A run that is cut off here leaves the lookup where it is, for the next one.
        let mut place = self.lookup.lock().await;
        let lookup = place.get_or_insert_with(|| {
            let addr = self.addr.clone();
            tokio::spawn(async move { Ok(lookup_host(addr).await?.collect()) })
        });
        let found = lookup.await;
        *place = None;
        found.map_err(io::Error::other)?
    }
}
