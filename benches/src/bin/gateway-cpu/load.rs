//! Who asks: so many connections that are kept, each with one request at a time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mainstay_benches::call::Failure;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

pub(crate) struct Client {
    runtime: Runtime,
    connections: usize,
    hyper: Hyper<HttpConnector, Empty<Bytes>>,
}

/// What became of the requests.
pub(crate) struct Asked {
    pub(crate) answered: u64,
    pub(crate) p99: Duration,
}

impl Client {
    pub(crate) fn new(connections: usize) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let hyper = Hyper::builder(TokioExecutor::new()).build(connector);
        Ok(Self { runtime, connections, hyper })
    }

    /// Sends so many requests. All of them must be answered well.
    pub(crate) fn ask(&self, addr: SocketAddr, requests: u64) -> Result<Asked, Failure> {
        let uri: axum::http::Uri = format!("http://{addr}/work").parse()?;
        let each = requests.div_ceil(self.connections as u64);
        let mut nanos = self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for _ in 0..self.connections {
                let (hyper, uri) = (self.hyper.clone(), uri.clone());
                tasks.spawn(async move {
                    let mut nanos = Vec::with_capacity(each as usize);
                    for _ in 0..each {
                        let begin = Instant::now();
                        let answer = hyper.get(uri.clone()).await.map_err(|error| error.to_string())?;
                        if answer.status() != 200 {
                            return Err(format!("answered {}", answer.status()));
                        }
                        answer.into_body().collect().await.map_err(|error| error.to_string())?;
                        nanos.push(begin.elapsed());
                    }
                    Ok(nanos)
                });
            }
            let mut all = Vec::new();
            while let Some(done) = tasks.join_next().await {
                all.extend(done??);
            }
            Ok::<_, Failure>(all)
        })?;
        nanos.sort_unstable();
        let p99 = nanos.get(nanos.len() * 99 / 100).copied().unwrap_or_default();
        Ok(Asked { answered: nanos.len() as u64, p99 })
    }
}
