//! A balancer in the client: it asks each gateway whether it is ready, and sends nothing to one that is not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Client;

use crate::stack::Service;

pub struct Balance {
    gateways: Vec<(SocketAddr, Arc<AtomicBool>)>,
    turn: AtomicUsize,
}

impl Balance {
    pub fn over(gateways: &[Service]) -> Arc<Self> {
        let watched = |gateway: &Service| {
            let (ready, readiness) =
                (Arc::new(AtomicBool::new(true)), format!("http://{}/readyz", gateway.admin));
            tokio::spawn(watch(readiness, Arc::downgrade(&ready)));
            (gateway.address, ready)
        };
        Arc::new(Self { gateways: gateways.iter().map(watched).collect(), turn: AtomicUsize::new(0) })
    }

    /// The next of those that are ready, in turn.
    pub async fn pick(&self) -> SocketAddr {
        loop {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let in_turn =
                self.gateways.iter().cycle().skip(turn % self.gateways.len()).take(self.gateways.len());
            if let Some((address, _)) = in_turn.into_iter().find(|(_, ready)| ready.load(Ordering::Relaxed)) {
                return *address;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn watch(readiness: String, ready: std::sync::Weak<AtomicBool>) {
    // A new connection for each question: one that was kept would say nothing about new ones.
    let client =
        Client::builder().pool_max_idle_per_host(0).timeout(Duration::from_millis(400)).build().unwrap();
    while let Some(ready) = ready.upgrade() {
        let answer = client.get(&readiness).send().await;
        ready.store(answer.is_ok_and(|answer| answer.status().is_success()), Ordering::Relaxed);
        drop(ready);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
