use std::sync::Arc;

use tokio::net::TcpStream;

use super::Lookup;
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
    let lookup = Arc::new(Lookup::new(addr));
    let probe = move || {
        let lookup = lookup.clone();
        async move { connect(&lookup).await }
    };
    probe.into_probe()
}

async fn connect(lookup: &Lookup) -> Result<(), CheckError> {
    let connected = match lookup.addrs().await {
        Ok(addrs) => TcpStream::connect(&*addrs).await,
        Err(error) => Err(error),
    };
    match connected {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = format_args!("{}: {error}", lookup.addr());
            Err(CheckError::new(ErrorClass::of(&error), text))
        }
    }
}
