use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::Fault;
use crate::proxy::pump::{Break, Pump};
use crate::proxy::{Open, Setting};

/// One connection: its client's side and its server's.
pub(super) struct Link {
    client: TcpStream,
    upstream: SocketAddr,
    setting: watch::Receiver<Setting>,
    open: Open,
}

/// How long a client whose connection was cut may talk on.
const LINGER: Duration = Duration::from_millis(100);

// === impl Link ===

impl Link {
    pub(super) fn new(
        client: TcpStream,
        upstream: SocketAddr,
        setting: watch::Receiver<Setting>,
        open: Open,
    ) -> Self {
        Self { client, upstream, setting, open }
    }

    /// Runs until the connection is over on both sides.
    pub(super) async fn run(mut self) {
        let _ = self.client.set_nodelay(true);
        match self.connect().await {
            Ok(server) => {
                let _ = server.set_nodelay(true);
                self.pass_on(server).await;
            }
            Err(Break::Swallow) => self.swallow(None).await,
            Err(Break::Reset | Break::Cut) => reset(self.client),
        }
    }

    /// Connects to the server, unless the fault is against it. A black hole that opens meanwhile swallows what is
    /// connected.
    async fn connect(&mut self) -> Result<TcpStream, Break> {
        match self.setting.borrow().fault {
            Fault::Reset => return Err(Break::Reset),
            Fault::BlackHole => return Err(Break::Swallow),
            _ => {}
        }
        let connected = tokio::select! {
            biased;
            () = wait_for_reset(&mut self.setting) => return Err(Break::Reset),
            connected = connect(self.upstream) => connected,
        };
        connected.map_err(|_| match self.setting.borrow().fault {
            Fault::BlackHole => Break::Swallow,
            _ => Break::Reset,
        })
    }

    async fn pass_on(mut self, mut server: TcpStream) {
        let ended = {
            let (questions, to_client) = self.client.split();
            let (answers, to_server) = server.split();
            let there = Pump::of_questions().run(self.setting.clone(), questions, to_server);
            let back = Pump::of_answers().run(self.setting.clone(), answers, to_client);
            tokio::try_join!(there, back)
        };
        match ended {
            Ok(_) => {}
            Err(Break::Reset) => {
                reset(self.client);
                reset(server);
            }
            Err(Break::Swallow) => self.swallow(Some(server)).await,
            Err(Break::Cut) => {
                drop(server);
                self.cut().await;
            }
        }
    }

    /// Ends the client's side, so that it reads an end and no reset.
    async fn cut(self) {
        let Self { mut client, mut setting, open, .. } = self;
        let _ = client.shutdown().await;
        drop(open);
        let talk_on = async {
            tokio::select! {
                biased;
                () = wait_for_reset(&mut setting) => true,
                () = discard(&mut client) => false,
            }
        };
        if timeout(LINGER, talk_on).await.unwrap_or(false) {
            reset(client);
        }
    }

    /// Stays silent, for ever.
    async fn swallow(self, mut server: Option<TcpStream>) {
        let Self { mut client, mut setting, open, .. } = self;
        let discarded = async {
            let there = async {
                discard(&mut client).await;
                drop(open);
            };
            let back = async {
                if let Some(server) = &mut server {
                    discard(server).await;
                }
            };
            tokio::join!(there, back)
        };
        tokio::select! {
            biased;
            () = wait_for_reset(&mut setting) => {}
            // Both are gone; nobody sees how this ends.
            _ = discarded => return,
        }
        [Some(client), server].into_iter().flatten().for_each(reset);
    }
}

/// Connects to a server. Dropped on the way, the connection is reset: the server may have accepted it already.
async fn connect(upstream: SocketAddr) -> io::Result<TcpStream> {
    let socket = match upstream {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_zero_linger()?;
    let server = socket.connect(upstream).await?;
    sockopt::set_socket_linger(&server, None)?;
    Ok(server)
}

/// Returns when a reset is ordered, after what was ordered so far.
async fn wait_for_reset(setting: &mut watch::Receiver<Setting>) {
    let _ = setting.wait_for(|setting| setting.fault == Fault::Reset).await;
}

/// Reads until there is nothing more to come.
async fn discard(stream: &mut TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    let ended: io::Result<()> = async {
        while stream.read(&mut buffer).await? > 0 {}
        Ok(())
    }
    .await;
    drop(ended);
}

/// Closes a socket with a reset instead of an end.
fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
}
