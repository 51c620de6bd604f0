//! Whatever the order in which answers come, what is answered from before is what a simple reference says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::time::Duration;

use http::{Request, Response};
use mainstay_degrade::{Clock, DegradationManager, Degraded, KeepHttp, StaleLayer};
use mainstay_testkit::{ProbeHandle, ServiceProbe};
use proptest::prelude::*;
use tower::{Layer, ServiceExt};

type Answer = Response<usize>;
type Probe = ServiceProbe<Request<()>, Answer, &'static str>;
type Handle = ProbeHandle<Request<()>, Answer, &'static str>;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Somebody asks for a key.
    Ask(u8),
    /// One of those that wait gets an answer with this status.
    Answer(prop::sample::Index, u16),
}

/// What was asked for, by the number of the question, which is the second in which it was asked.
#[derive(Default)]
struct Reference {
    kept: HashMap<u8, Vec<usize>>,
    taken_back: HashMap<u8, usize>,
}

impl Reference {
    fn valid(&self, key: u8) -> Vec<usize> {
        let taken_back = self.taken_back.get(&key).copied();
        let kept = self.kept.get(&key).into_iter().flatten().copied();
        kept.filter(|asked| Some(*asked) > taken_back).collect()
    }
}

fn get(key: u8) -> Request<()> {
    Request::get(format!("/{key}")).body(()).unwrap()
}

/// What each of six keys is answered when the origin is down at last, and what the reference says of it.
async fn run(steps: &[Step], max_entries: usize) -> Vec<(Option<usize>, Vec<usize>)> {
    let degrade = DegradationManager::builder().clock(Clock::tokio()).build().unwrap();
    let layer =
        StaleLayer::new(&degrade, KeepHttp::new(), |request: &Request<()>| Some(request.uri().to_string()))
            .max_staleness(Duration::from_secs(1_000_000))
            .max_entries(max_entries);
    let (probe, handle): (Probe, Handle) = ServiceProbe::new();
    let service = layer.layer(probe);
    let (mut reference, mut waiting, mut asked) = (Reference::default(), Vec::new(), 0);
    for step in steps {
        match *step {
            Step::Ask(key) => {
                asked += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
                let answer = tokio::spawn(service.clone().oneshot(get(key)));
                let (_, reply) = handle.next_request().await;
                waiting.push((key, asked, reply, answer));
            }
            Step::Answer(_, _) if waiting.is_empty() => {}
            Step::Answer(index, status) => {
                let (key, asked, reply, answer) = waiting.swap_remove(index.index(waiting.len()));
                reply.send(Ok(Response::builder().status(status).body(asked).unwrap()));
                assert_eq!(*answer.await.unwrap().unwrap().body(), asked);
                match status {
                    200 => reference.kept.entry(key).or_default().push(asked),
                    404 => {
                        let taken_back = reference.taken_back.entry(key).or_default();
                        *taken_back = asked.max(*taken_back);
                    }
                    _ => {}
                }
            }
        }
    }
    handle.answer_with(|_| Err("down"));
    let mut results = Vec::new();
    for key in 0..6 {
        let answer = service.clone().oneshot(get(key)).await.ok();
        let is_stale = |answer: &Answer| matches!(answer.extensions().get(), Some(Degraded::Stale { .. }));
        assert!(answer.as_ref().is_none_or(is_stale));
        results.push((answer.map(Response::into_body), reference.valid(key)));
    }
    results
}

fn results(steps: &[Step], max_entries: usize) -> Vec<(Option<usize>, Vec<usize>)> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(steps, max_entries))
}

fn steps(keys: u8) -> impl Strategy<Value = Vec<Step>> {
    let answer = (any::<prop::sample::Index>(), prop::sample::select(vec![200_u16, 200, 404, 429]));
    let step = prop_oneof![
        (0..keys).prop_map(Step::Ask),
        answer.prop_map(|(index, status)| Step::Answer(index, status))
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #[test]
    fn it_is_the_last_that_was_asked_for_after_all_that_was_taken_back(steps in steps(2)) {
        for (answer, valid) in results(&steps, 10_000) {
            prop_assert_eq!(answer, valid.into_iter().max());
        }
    }

    #[test]
    fn where_keys_have_to_go_it_may_be_none_and_is_never_what_was_taken_back(steps in steps(6)) {
        for (answer, valid) in results(&steps, 2) {
            prop_assert!(answer.is_none_or(|answer| valid.contains(&answer)), "{answer:?} of {valid:?}");
        }
    }
}
