//! A TCP proxy in a thread of its own, with a tokio runtime of its own: a paused clock of the test does not reach it.

mod keeper;
mod link;
mod pump;

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, watch};

use crate::error::During;
use crate::port::Port;
use crate::proxy::keeper::Keeper;
use crate::{Fault, TestkitError};

/// A TCP proxy on 127.0.0.1 that passes everything on until it is told to break it.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::{TcpListener, TcpStream};
///
/// use mainstay_testkit::{Fault, FaultProxy};
///
/// let upstream = TcpListener::bind("127.0.0.1:0")?;
/// let proxy = FaultProxy::start(upstream.local_addr()?)?;
///
/// let mut client = TcpStream::connect(proxy.addr())?;
/// let (mut server, _) = upstream.accept()?;
/// server.write_all(b"good morning")?;
/// let mut answer = [0; 12];
/// client.read_exact(&mut answer)?;
/// assert_eq!(&answer, b"good morning");
///
/// proxy.set(Fault::Reset);
/// assert!(client.read(&mut answer).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// If the upstream server cannot be reached, a connection is accepted and then reset. Dropping the proxy closes all
/// connections.
pub struct FaultProxy {
    port: Port,
    upstream: SocketAddr,
    setting: watch::Receiver<Setting>,
    counts: Arc<Counts>,
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// The fault in force. The turn tells one order from another of the same fault.
#[derive(Clone, Copy, Debug, Default)]
struct Setting {
    fault: Fault,
    turn: u64,
}

/// A fault to set, and whom to tell that it is in force.
struct Order {
    fault: Fault,
    done: SyncSender<()>,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    accepted: AtomicU64,
}

/// Counts a connection as open until it is dropped.
struct Open(Arc<Counts>);

// === impl FaultProxy ===

impl FaultProxy {
    /// Starts a proxy on a free port, without a fault.
    ///
    /// # Errors
    ///
    /// If there is no free port, or the operating system refuses a socket or a thread.
    pub fn start(upstream: SocketAddr) -> Result<Self, TestkitError> {
        let (port, listener) = listen()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .during(|| "starting the runtime of a proxy".into())?;
        let (tell, setting) = watch::channel(Setting::default());
        let (orders, received) = mpsc::unbounded_channel();
        let counts = Arc::new(Counts::default());
        let keeper = Keeper::new(port.addr(), upstream, tell, Arc::clone(&counts));
        let thread = thread::Builder::new()
            .name("mainstay-fault-proxy".into())
            .spawn(move || runtime.block_on(keeper.keep(listener, received)))
            .during(|| "starting the thread of a proxy".into())?;
        Ok(Self { port, upstream, setting, counts, orders: Some(orders), thread: Some(thread) })
    }

    /// The address to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The port of that address.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Sets what becomes of connections, and returns when it is in force: no byte that is sent afterwards meets the
    /// old fault.
    ///
    /// Setting the same fault once more is a new order: [`Reset`](Fault::Reset) resets again,
    /// [`CutAfter`](Fault::CutAfter) counts anew.
    ///
    /// After [`Refuse`](Fault::Refuse) the port is bound again, which fails only if another program has taken it
    /// meanwhile; the proxy tries for 5 s, then says so on stderr and goes on refusing, as [`fault`](Self::fault)
    /// tells.
    pub fn set(&self, fault: Fault) {
        let (done, in_force) = std::sync::mpsc::sync_channel(1);
        if self.orders.as_ref().is_some_and(|orders| orders.send(Order { fault, done }).is_ok()) {
            let _ = in_force.recv();
        }
    }

    /// The fault in force.
    pub fn fault(&self) -> Fault {
        self.setting.borrow().fault
    }

    /// How many connections are open: accepted, not closed by their client, not ended by a fault.
    ///
    /// The kernel completes a connect before the proxy accepts it, so a new connection may be counted a moment later.
    pub fn connections(&self) -> usize {
        self.counts.open.load(Ordering::Acquire)
    }

    /// How many connections were accepted so far, also those that were then reset.
    pub fn accepted(&self) -> u64 {
        self.counts.accepted.load(Ordering::Acquire)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // The thread ends when it finds that nobody can give it an order.
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultProxy")
            .field("addr", &self.addr())
            .field("upstream", &self.upstream)
            .field("fault", &self.fault())
            .field("connections", &self.connections())
            .field("accepted", &self.accepted())
            .finish_non_exhaustive()
    }
}

/// Listens on a free port.
fn listen() -> Result<(Port, TcpListener), TestkitError> {
    loop {
        let port = Port::reserve()?;
        // Somebody may have taken it since we looked. The search ends with an error when there is none left.
        if let Ok(listener) = TcpListener::bind(port.addr()) {
            listener.set_nonblocking(true).during(|| "setting up a listener".into())?;
            return Ok((port, listener));
        }
    }
}

// === impl Open ===

impl Open {
    fn count(counts: &Arc<Counts>) -> Self {
        counts.accepted.fetch_add(1, Ordering::AcqRel);
        counts.open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(counts))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}
