//! Writers that push as fast as they are answered.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Failure;
use crate::case::item;
use crate::figures::Pushes;

/// What takes items.
pub(crate) trait Queue: Clone + Send + Sync + 'static {
    fn push(&self, item: String) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// So many tasks for so long.
pub(crate) async fn push(queue: &impl Queue, writers: usize, length: Duration) -> Result<Pushes, Failure> {
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..writers {
        let queue = queue.clone();
        tasks.spawn(async move {
            let (item, mut nanos) = (item(), Vec::with_capacity(1 << 16));
            let mut last = Instant::now();
            while last - begin < length {
                queue.push(item.clone()).await?;
                let now = Instant::now();
                nanos.push((now - last).as_nanos() as u64);
                last = now;
            }
            Ok::<_, Failure>(nanos)
        });
    }
    let mut nanos = Vec::new();
    while let Some(task) = tasks.join_next().await {
        nanos.extend(task??);
    }
    Ok(Pushes { items: nanos.len() as u64, took: begin.elapsed(), nanos })
}
