//! Scatter and gather: parts that are pending once, as calls over a network are, and then succeed.

use std::convert::Infallible;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

use futures_util::future::join_all;
use mainstay_degrade::{DegradationManager, Gather};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::call::{Call, Failure, Loop};
use crate::pending::Once;

/// For ten parts and for a thousand: those that run on the caller's task, and those that are spawned.
pub const CALLS: [Call; 8] = [
    Call { name: "10 parts, `join_all`", make: || joined(10) },
    Call { name: "10 parts, `Gather`", make: || gathered(10) },
    Call { name: "10 parts, `JoinSet`", make: || spawned(10) },
    Call { name: "10 parts, `Gather::spawned`", make: || gathered_spawned(10) },
    Call { name: "1,000 parts, `join_all`", make: || joined(1_000) },
    Call { name: "1,000 parts, `Gather`", make: || gathered(1_000) },
    Call { name: "1,000 parts, `JoinSet`", make: || spawned(1_000) },
    Call { name: "1,000 parts, `Gather::spawned`", make: || gathered_spawned(1_000) },
];

async fn part(number: u64) -> Result<u64, Infallible> {
    Once::default().await;
    Ok(black_box(number))
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Gathers again and again; `once` makes the future of one turn.
fn turns<F: Future<Output = u64>>(once: impl Fn() -> F + 'static) -> Result<Loop, Failure> {
    let runtime = runtime()?;
    Ok(Box::new(move |calls| {
        runtime.block_on(async {
            let begin = Instant::now();
            for _ in 0..calls {
                black_box(once().await);
            }
            begin.elapsed()
        })
    }))
}

fn joined(parts: u64) -> Result<Loop, Failure> {
    turns(move || async move { join_all((0..parts).map(part)).await.into_iter().flatten().sum::<u64>() })
}

fn spawned(parts: u64) -> Result<Loop, Failure> {
    turns(move || async move {
        let mut set: JoinSet<_> = (0..parts).map(part).collect();
        let mut sum = 0;
        while let Some(done) = set.join_next().await {
            sum += done.map_or(0, |Ok(number)| number);
        }
        sum
    })
}

fn gathered(parts: u64) -> Result<Loop, Failure> {
    let degrade = Rc::new((DegradationManager::builder().build()?, names(parts)));
    turns(move || {
        let degrade = degrade.clone();
        async move { sum(gather(&degrade.0, &degrade.1)).await }
    })
}

fn gathered_spawned(parts: u64) -> Result<Loop, Failure> {
    let degrade = Rc::new((DegradationManager::builder().build()?, names(parts)));
    turns(move || {
        let degrade = degrade.clone();
        async move { sum(gather(&degrade.0, &degrade.1).spawned()).await }
    })
}

fn names(parts: u64) -> Vec<String> {
    (0..parts).map(|number| format!("agent-{number}")).collect()
}

fn gather(degrade: &DegradationManager, names: &[String]) -> Gather<'static, u64, Infallible> {
    let gather = Gather::new(degrade.partial("agent_dag"));
    names.iter().zip(0..).fold(gather, |gather, (name, number)| gather.part(name.as_str(), part(number)))
}

async fn sum(gather: Gather<'static, u64, Infallible>) -> u64 {
    gather.run().await.map_or(0, |gathered| gathered.values().map(|(_, number)| number).sum())
}
