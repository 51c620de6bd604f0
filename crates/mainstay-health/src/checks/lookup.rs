use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::net::lookup_host;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Resolves one address, again and again, with one lookup at a time.
///
/// The system's resolver blocks a thread of the runtime's, and goes on when nobody waits for it any more. A check that started a
/// lookup in each run could fill all these threads while DNS hangs; here whoever finds the lookup of an earlier run still under
/// way waits for that one.
///
/// ```
/// use mainstay_health::checks::Lookup;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let database = Lookup::new("127.0.0.1:5432");
/// assert_eq!(database.addrs().await?, ["127.0.0.1:5432".parse().unwrap()]);
/// # Ok(())
/// # }
/// ```
pub struct Lookup {
    addr: String,
    resolve: Box<Resolve>,
    under_way: Mutex<Option<JoinHandle<Found>>>,
}

type Found = io::Result<Vec<SocketAddr>>;
type Resolve = dyn Fn(String) -> Pin<Box<dyn Future<Output = Found> + Send>> + Send + Sync;

impl Lookup {
    /// Of `host:port`, with a name, an IPv4 address, or an IPv6 one in brackets, by the system's resolver.
    pub fn new(addr: impl Into<String>) -> Self {
        Self::by(addr, |addr| async move { Ok(lookup_host(addr).await?.collect()) })
    }

    /// The same by a resolver of yours, which is given `host:port`. It is not asked for addresses that need none.
    pub fn by<F>(addr: impl Into<String>, resolve: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        let resolve = Box::new(move |addr| Box::pin(resolve(addr)) as Pin<Box<_>>);
        Self { addr: addr.into(), resolve, under_way: Mutex::default() }
    }

    /// What is resolved.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// The addresses, in the order in which the resolver gives them. Cancel safe: a lookup that is under way is left to the next
    /// caller. It needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// The resolver's, and an error if it panics or its runtime ends.
    pub async fn addrs(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(addr) = self.addr.parse() {
            return Ok(vec![addr]);
        }
        let mut place = self.under_way.lock().await;
        let lookup = place.get_or_insert_with(|| tokio::spawn((self.resolve)(self.addr.clone())));
        let found = lookup.await;
        *place = None;
        found.map_err(io::Error::other)?
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("addr", &self.addr).finish_non_exhaustive()
    }
}
