use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::Fault;
use crate::proxy::link::Link;
use crate::proxy::{Counts, Open, Order, Setting};

/// Accepts connections and carries out orders.
pub(super) struct Keeper {
    addr: SocketAddr,
    upstream: SocketAddr,
    setting: watch::Sender<Setting>,
    counts: Arc<Counts>,
    links: JoinSet<()>,
}

/// How long to try for the port after refusing.
const BIND_LIMIT: Duration = Duration::from_secs(5);

// === impl Keeper ===

impl Keeper {
    pub(super) fn new(
        addr: SocketAddr,
        upstream: SocketAddr,
        setting: watch::Sender<Setting>,
        counts: Arc<Counts>,
    ) -> Self {
        Self { addr, upstream, setting, counts, links: JoinSet::new() }
    }

    /// Works until nobody can give orders any more.
    pub(super) async fn keep(
        mut self,
        listener: std::net::TcpListener,
        mut orders: mpsc::UnboundedReceiver<Order>,
    ) {
        let mut listener = TcpListener::from_std(listener).ok();
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order { fault, done }) => {
                        listener = self.carry_out(fault, listener).await;
                        let _ = done.send(());
                    }
                    None => return,
                },
                Some(_) = self.links.join_next() => {}
                accepted = accept(listener.as_ref()) => match accepted {
                    Ok(client) => self.take(client),
                    // Out of file descriptors, say.
                    Err(_) => sleep(Duration::from_millis(10)).await,
                },
            }
        }
    }

    fn take(&mut self, client: TcpStream) {
        let open = Open::count(&self.counts);
        let link = Link::new(client, self.upstream, self.setting.subscribe(), open);
        self.links.spawn(link.run());
    }

    /// Returns when the fault is in force. All of this proxy runs on one thread: a link sees the new setting before
    /// it does anything else.
    async fn carry_out(&mut self, fault: Fault, listener: Option<TcpListener>) -> Option<TcpListener> {
        let listener = match (fault, listener) {
            (Fault::Refuse, None) => None,
            (Fault::Refuse, Some(listener)) => {
                close(listener);
                None
            }
            (_, None) => match self.bind().await {
                Ok(listener) => Some(listener),
                Err(error) => {
                    let _ = writeln!(
                        io::stderr(),
                        "fault proxy: cannot listen on {} again, goes on refusing: {error}",
                        self.addr
                    );
                    return None;
                }
            },
            (_, listener) => listener,
        };
        self.setting.send_modify(|setting| {
            setting.fault = fault;
            setting.turn += 1;
        });
        if fault == Fault::Reset {
            // Each sees it and ends.
            while self.links.join_next().await.is_some() {}
        }
        listener
    }

    async fn bind(&self) -> io::Result<TcpListener> {
        let deadline = Instant::now() + BIND_LIMIT;
        loop {
            match TcpListener::bind(self.addr).await {
                Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(10)).await,
                bound => return bound,
            }
        }
    }
}

/// The next connection; never any without a listener.
async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(client, _)| client),
        None => std::future::pending().await,
    }
}

/// Closes a listener now, even if a process that is just being started has it too.
#[expect(clippy::needless_pass_by_value, reason = "it is closed")]
fn close(listener: TcpListener) {
    let _ = rustix::net::shutdown(&listener, Shutdown::Both);
}
