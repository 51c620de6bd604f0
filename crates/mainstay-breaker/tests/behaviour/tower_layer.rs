//! The tower layer, through tower's own traits.
#![cfg(feature = "tower")]
#![allow(clippy::unwrap_used, reason = "a failed expectation is the point")]

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, Ready, pending, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use mainstay_breaker::{
    Breaker, BreakerError, BreakerLayer, Clock, Control, HalfOpen, Keyed, ManualClock, NotAsked, OnOpen,
    OpenFor, RejectReason, Settings, State, Trip, Verdict,
};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const OPEN: Duration = Duration::from_secs(10);

fn breaker(failures: u32) -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let half_open = HalfOpen { max_in_flight: 2, close_after: 2, ..HalfOpen::default() };
    let builder =
        Breaker::builder("upstream").trip(Trip::consecutive_failures(failures)).half_open(half_open);
    (builder.open_for(OpenFor::fixed(OPEN)).clock(clock).build().unwrap(), time)
}

/// Fails with what it is asked to fail with.
async fn echo(request: Result<u32, &'static str>) -> Result<u32, &'static str> {
    request
}

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll_ready<S: Service<Req>, Req>(service: &mut S, wakes: &Arc<Wakes>) -> Poll<Result<(), S::Error>> {
    service.poll_ready(&mut Context::from_waker(&Waker::from(wakes.clone())))
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn errors_of_the_inner_service_open_it_and_calls_are_rejected_with_the_reason() {
    let (breaker, _time) = breaker(2);
    let mut service = BreakerLayer::new(breaker.clone()).layer(service_fn(echo));
    for _ in 0..2 {
        let error = service.ready().await.unwrap().call(Err("boom")).await.unwrap_err();
        assert_eq!(error, BreakerError::Inner("boom"));
    }
    assert_eq!(breaker.state(), State::Open);
    let error = service.ready().await.unwrap().call(Ok(1)).await.unwrap_err();
    let rejected = error.rejected().expect("a rejection");
    assert_eq!(rejected.reason(), RejectReason::Open);
    assert_eq!(rejected.retry_after(), Some(OPEN));
    assert_eq!(breaker.snapshot().totals.rejected, 1);
}

#[tokio::test]
async fn the_inner_service_is_not_even_polled_while_open() {
    struct Untouchable;
    impl Service<()> for Untouchable {
        type Response = ();
        type Error = Infallible;
        type Future = Ready<Result<(), Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            panic!("polled while open")
        }
        fn call(&mut self, (): ()) -> Self::Future {
            panic!("called while open")
        }
    }
    let (breaker, _time) = breaker(1);
    breaker.trip();
    let mut service = BreakerLayer::new(breaker).layer(Untouchable);
    assert!(service.ready().await.unwrap().call(()).await.is_err());
}

#[tokio::test]
async fn the_classifier_decides_what_a_response_says() {
    let (breaker, _time) = breaker(1);
    let layer = BreakerLayer::new(breaker.clone()).classify(|result: &Result<u32, &str>| match result {
        Ok(status) if *status >= 500 => Verdict::Failure,
        _ => Verdict::Success,
    });
    let mut service = layer.layer(service_fn(echo));
    assert_eq!(service.ready().await.unwrap().call(Ok(404)).await, Ok(404));
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(
        service.ready().await.unwrap().call(Ok(503)).await,
        Ok(503),
        "the response reaches the caller"
    );
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn reject_with_answers_and_keeps_an_infallible_error() {
    let (breaker, _time) = breaker(1);
    breaker.trip();
    let layer =
        BreakerLayer::new(breaker).reject_with(|rejected| format!("503 after {:?}", rejected.retry_after()));
    let mut service = layer.layer(service_fn(async |(): ()| Ok::<_, Infallible>("200".to_owned())));
    let answer: Result<String, Infallible> = service.ready().await.unwrap().call(()).await;
    assert_eq!(answer.unwrap(), "503 after Some(10s)");
}

#[tokio::test]
async fn reject_with_answers_a_call_that_is_cut_off() {
    let (breaker, time) = breaker(1);
    let layer = BreakerLayer::new(breaker.clone()).timeout(Duration::from_secs(1));
    let layer = layer.reject_with(|rejected| (rejected.reason(), NotAsked::is_said_by(&rejected)));
    let hangs = service_fn(async |(): ()| pending::<Result<(RejectReason, bool), Infallible>>().await);
    let mut service = layer.layer(hangs);
    let mut answer = Box::pin(service.ready().await.unwrap().call(()));
    assert!(poll(answer.as_mut()).is_pending());
    time.advance(Duration::from_secs(1));
    assert_eq!(answer.await.unwrap(), (RejectReason::TimedOut, false), "it was asked");
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn a_call_that_hangs_past_the_time_out_is_dropped_and_trips() {
    let (breaker, time) = breaker(1);
    let mut service = BreakerLayer::new(breaker.clone())
        .timeout(Duration::from_secs(2))
        .layer(service_fn(async |(): ()| pending::<Result<(), Infallible>>().await));
    let mut call = Box::pin(service.ready().await.unwrap().call(()));
    assert!(poll(call.as_mut()).is_pending());
    time.advance(Duration::from_secs(2));
    let error = call.await.unwrap_err();
    assert!(
        matches!(error, BreakerError::TimedOut(timed_out) if timed_out.after() == Duration::from_secs(2))
    );
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn the_breakers_own_time_out_is_the_layers_default() {
    let (clock, time) = Clock::manual();
    let builder = Breaker::builder("upstream").trip(Trip::consecutive_failures(1)).clock(clock);
    let breaker = builder.timeout(Duration::from_secs(1)).build().unwrap();
    let mut service = BreakerLayer::new(breaker)
        .layer(service_fn(async |(): ()| pending::<Result<(), Infallible>>().await));
    let mut call = Box::pin(service.ready().await.unwrap().call(()));
    assert!(poll(call.as_mut()).is_pending());
    time.advance(Duration::from_secs(1));
    assert!(matches!(call.await, Err(BreakerError::TimedOut(_))));
}

#[tokio::test]
async fn slow_calls_open_it() {
    let (clock, time) = Clock::manual();
    let slow = Trip::slow_rate(1.0, Duration::from_millis(500)).min_calls(1);
    let breaker = Breaker::builder("upstream").trip(slow).clock(clock).build().unwrap();
    let mut service = BreakerLayer::new(breaker.clone()).layer(service_fn(move |(): ()| {
        time.advance(Duration::from_millis(500));
        ready(Ok::<_, Infallible>(()))
    }));
    service.ready().await.unwrap().call(()).await.unwrap();
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_and_gives_its_slot_back() {
    let (breaker, time) = breaker(1);
    breaker.trip();
    time.advance(OPEN);
    let mut service = BreakerLayer::new(breaker.clone())
        .layer(service_fn(async |(): ()| pending::<Result<(), Infallible>>().await));
    for _ in 0..5 {
        let mut call = Box::pin(service.ready().await.unwrap().call(()));
        assert!(poll(call.as_mut()).is_pending(), "a slot was free");
    }
    assert_eq!(breaker.snapshot().totals.cancelled, 5);
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[tokio::test]
async fn a_panic_in_the_inner_future_is_a_failure_and_goes_on() {
    let (breaker, _time) = breaker(1);
    let mut service = BreakerLayer::new(breaker.clone())
        .layer(service_fn(async |(): ()| -> Result<(), Infallible> { panic!("inner") }));
    let call = service.ready().await.unwrap().call(());
    assert!(tokio::spawn(call).await.unwrap_err().is_panic());
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.snapshot().totals.failure, 1);
}

#[tokio::test]
async fn a_panic_in_the_classifier_is_a_failure_and_wedges_nothing() {
    let (breaker, time) = breaker(1);
    let layer = BreakerLayer::new(breaker.clone())
        .classify(|_: &Result<u32, &'static str>| -> Verdict { panic!("classifier") });
    let mut service = layer.layer(service_fn(echo));
    let call = service.ready().await.unwrap().call(Ok(1));
    assert!(tokio::spawn(call).await.unwrap_err().is_panic());
    assert_eq!(breaker.state(), State::Open);
    time.advance(OPEN);
    breaker.try_acquire().expect("it recovers").success();
}

#[tokio::test]
async fn a_call_without_ready_is_rejected() {
    let (breaker, _time) = breaker(1);
    let mut service = BreakerLayer::new(breaker).layer(service_fn(echo));
    let error = service.call(Ok(1)).await.unwrap_err();
    assert_eq!(error.rejected().map(|rejected| rejected.reason()), Some(RejectReason::NotReady));
}

#[tokio::test]
async fn a_concurrency_limit_inside_never_panics_when_the_breaker_becomes_due_between_ready_and_call() {
    let (breaker, time) = breaker(1);
    let mut service = ServiceBuilder::new()
        .layer(BreakerLayer::new(breaker.clone()))
        .concurrency_limit(1)
        .service(service_fn(echo));
    breaker.trip();
    service.ready().await.unwrap();
    time.advance(OPEN);
    let error = service.call(Ok(1)).await.unwrap_err();
    assert!(error.rejected().is_some(), "nothing was made ready for it");
    assert_eq!(service.ready().await.unwrap().call(Ok(2)).await, Ok(2), "the next one is a probe");
    assert_eq!(breaker.snapshot().half_open.unwrap().successes, 1);
}

#[tokio::test]
async fn an_error_of_the_inner_poll_ready_is_recorded_as_one_call_and_returned() {
    struct Broken;
    impl Service<()> for Broken {
        type Response = ();
        type Error = &'static str;
        type Future = Ready<Result<(), &'static str>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            Poll::Ready(Err("no connection"))
        }
        fn call(&mut self, (): ()) -> Self::Future {
            ready(Ok(()))
        }
    }
    let (breaker, _time) = breaker(2);
    let mut service = BreakerLayer::new(breaker.clone()).layer(Broken);
    assert_eq!(service.ready().await.err(), Some(BreakerError::Inner("no connection")));
    assert_eq!(breaker.snapshot().totals.failure, 1);
    assert!(service.ready().await.is_err());
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn not_ready_is_pending_until_the_open_time_is_over_and_wakes_by_itself() {
    let (breaker, time) = breaker(1);
    let layer = BreakerLayer::new(breaker.clone()).on_open(OnOpen::NotReady);
    let mut service = layer.layer(service_fn(echo));
    let wakes = Arc::new(Wakes::default());
    breaker.trip();
    assert!(poll_ready(&mut service, &wakes).is_pending());
    time.advance(OPEN - Duration::from_nanos(1));
    assert!(poll_ready(&mut service, &wakes).is_pending());
    let before = wakes.count();
    time.advance(Duration::from_nanos(1));
    assert!(wakes.count() > before, "nobody called, and yet it was woken");
    assert!(poll_ready(&mut service, &wakes).is_ready());
}

#[test]
fn not_ready_wakes_when_the_breaker_is_reset_or_released() {
    for release in [Breaker::reset, |breaker: &Breaker| breaker.set_control(Control::ForcedClosed)] {
        let (breaker, _time) = breaker(1);
        let mut service =
            BreakerLayer::new(breaker.clone()).on_open(OnOpen::NotReady).layer(service_fn(echo));
        let wakes = Arc::new(Wakes::default());
        breaker.trip();
        assert!(poll_ready(&mut service, &wakes).is_pending());
        release(&breaker);
        assert_eq!(wakes.count(), 1);
        assert!(poll_ready(&mut service, &wakes).is_ready());
    }
}

#[test]
fn not_ready_wakes_when_a_forced_open_breaker_is_released() {
    let (breaker, _time) = breaker(1);
    let mut service = BreakerLayer::new(breaker.clone()).on_open(OnOpen::NotReady).layer(service_fn(echo));
    let wakes = Arc::new(Wakes::default());
    breaker.set_control(Control::ForcedOpen);
    assert!(poll_ready(&mut service, &wakes).is_pending());
    breaker.set_control(Control::Automatic);
    assert_eq!(wakes.count(), 1);
    assert!(poll_ready(&mut service, &wakes).is_ready());
}

#[test]
fn of_ten_waiting_services_only_as_many_are_woken_as_there_are_slots() {
    let (breaker, time) = breaker(1);
    let layer = BreakerLayer::new(breaker.clone()).on_open(OnOpen::NotReady);
    let mut services: Vec<_> =
        (0..10).map(|_| (layer.layer(service_fn(echo)), Arc::new(Wakes::default()))).collect();
    breaker.trip();
    for (service, wakes) in &mut services {
        assert!(poll_ready(service, wakes).is_pending());
    }
    time.advance(OPEN);
    // Whoever was woken is polled, as an executor would, until nobody is woken any more.
    let mut polled = vec![0; services.len()];
    let mut ready = Vec::new();
    loop {
        let woken = services.iter().zip(&polled).position(|((_, wakes), polled)| wakes.count() > *polled);
        let Some(index) = woken.filter(|index| !ready.contains(index)) else { break };
        polled[index] = services[index].1.count();
        let (service, wakes) = &mut services[index];
        if poll_ready(service, wakes).is_ready() {
            ready.push(index);
            polled[index] = usize::MAX;
        }
    }
    assert_eq!(ready.len(), 2, "two slots");
    let mut slots: Vec<_> = ready.iter().map(|index| services[*index].0.call(Ok(1))).collect();
    assert_eq!(breaker.snapshot().half_open.unwrap().in_flight, 2);

    // A slot that is given back wakes one more.
    let counts =
        |services: &[(_, Arc<Wakes>)]| services.iter().map(|(_, wakes)| wakes.count()).sum::<usize>();
    let before = counts(&services);
    drop(slots.pop());
    assert_eq!(counts(&services) - before, 1);
}

#[test]
fn a_waiting_leader_that_goes_away_leaves_the_others_awake() {
    let (breaker, time) = breaker(1);
    let layer = BreakerLayer::new(breaker.clone()).on_open(OnOpen::NotReady);
    let mut first = layer.layer(service_fn(echo));
    let mut second = layer.layer(service_fn(echo));
    let wakes = Arc::new(Wakes::default());
    breaker.trip();
    assert!(poll_ready(&mut first, &Arc::default()).is_pending());
    assert!(poll_ready(&mut second, &wakes).is_pending());
    drop(first);
    assert!(poll_ready(&mut second, &wakes).is_pending());
    let before = wakes.count();
    time.advance(OPEN);
    assert!(wakes.count() > before);
    assert!(poll_ready(&mut second, &wakes).is_ready());
}

#[tokio::test(start_paused = true)]
async fn not_ready_wakes_by_tokios_paused_clock() {
    let open_for = OpenFor::fixed(OPEN);
    #[cfg(feature = "tokio")]
    let clock = Clock::tokio();
    #[cfg(not(feature = "tokio"))]
    let clock = {
        let (clock, time) = Clock::manual();
        tokio::spawn(async move { time.advance(OPEN) });
        clock
    };
    let breaker = Breaker::builder("upstream").open_for(open_for).clock(clock).build().unwrap();
    breaker.trip();
    let mut service = BreakerLayer::new(breaker).on_open(OnOpen::NotReady).layer(service_fn(echo));
    assert_eq!(service.ready().await.unwrap().call(Ok(7)).await, Ok(7));
}

#[tokio::test]
async fn clones_share_one_breaker() {
    let (breaker, _time) = breaker(1);
    let service = BreakerLayer::new(breaker).layer(service_fn(echo));
    let (mut one, mut other) = (service.clone(), service);
    assert!(one.ready().await.unwrap().call(Err("boom")).await.is_err());
    assert!(other.ready().await.unwrap().call(Ok(1)).await.unwrap_err().rejected().is_some());
}

#[tokio::test]
async fn it_wraps_services_that_are_neither_clone_nor_sync_nor_send() {
    struct Local(Rc<Cell<u32>>);
    impl Service<()> for Local {
        type Response = u32;
        type Error = Infallible;
        type Future = Ready<Result<u32, Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, (): ()) -> Self::Future {
            self.0.set(self.0.get() + 1);
            ready(Ok(self.0.get()))
        }
    }
    let (breaker, _time) = breaker(1);
    let mut service = BreakerLayer::new(breaker).layer(Local(Rc::default()));
    assert_eq!(service.ready().await.unwrap().call(()).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_stacks_over_boxed_errors_and_under_time_outs_and_buffers() {
    let (breaker, _time) = breaker(1);
    let mut service = ServiceBuilder::new()
        .buffer(4)
        .timeout(Duration::from_secs(1))
        .layer(BreakerLayer::new(breaker))
        .timeout(Duration::from_millis(100))
        .service(service_fn(async |(): ()| -> Result<(), BoxError> { pending().await }));
    let error = service.ready().await.unwrap().call(()).await.unwrap_err();
    let inner = error.downcast::<BreakerError<BoxError>>().expect("ours, through all the boxes");
    assert!(matches!(*inner, BreakerError::Inner(_)));
    let error = service.ready().await.unwrap().call(()).await.unwrap_err();
    assert!(error.downcast::<BreakerError<BoxError>>().unwrap().rejected().is_some());
}

#[tokio::test]
async fn it_layers_an_axum_router() {
    use axum::{Router, body::Body, http::Request, http::StatusCode, response::IntoResponse, routing::get};
    let (breaker, _time) = breaker(1);
    let layer = BreakerLayer::new(breaker)
        .classify(|result: &Result<axum::response::Response, Infallible>| match result {
            Ok(response) if response.status().is_server_error() => Verdict::Failure,
            _ => Verdict::Success,
        })
        .reject_with(|_| StatusCode::SERVICE_UNAVAILABLE.into_response());
    let app: Router = Router::new().route("/", get(async || StatusCode::INTERNAL_SERVER_ERROR)).layer(layer);
    let request = || Request::get("/").body(Body::empty()).unwrap();
    let first = app.clone().oneshot(request()).await.unwrap();
    assert_eq!(first.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let second = app.oneshot(request()).await.unwrap();
    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_keyed_layer_has_a_breaker_for_each_key_of_the_requests() {
    let settings = Settings::new().trip(Trip::consecutive_failures(1));
    let tenants = Keyed::<u32>::builder("tenants").settings(settings).build().unwrap();
    let layer = BreakerLayer::keyed(tenants.clone(), |(tenant, _): &(u32, bool)| *tenant);
    let inner = service_fn(async |(_, fails): (u32, bool)| if fails { Err("boom") } else { Ok(()) });
    let mut service = layer.layer(inner);
    assert!(service.ready().await.unwrap().call((1, true)).await.is_err());
    assert_eq!(tenants.breaker(&1).unwrap().state(), State::Open);
    let rejected = service.ready().await.unwrap().call((1, false)).await.unwrap_err();
    assert_eq!(rejected.rejected().map(|rejected| rejected.reason()), Some(RejectReason::Open));
    assert_eq!(service.ready().await.unwrap().call((2, false)).await, Ok(()), "another key, another breaker");
}

#[tokio::test]
async fn a_keyed_layer_uses_the_time_out_of_the_sets_settings() {
    let (clock, time) = Clock::manual();
    let settings = Settings::new().trip(Trip::consecutive_failures(1)).timeout(Duration::from_secs(1));
    let tenants = Keyed::<u32>::builder("tenants").settings(settings).clock(clock).build().unwrap();
    let layer = BreakerLayer::keyed(tenants.clone(), |tenant: &u32| *tenant);
    let mut service = layer.layer(service_fn(async |_: u32| pending::<Result<(), Infallible>>().await));
    let mut call = Box::pin(service.ready().await.unwrap().call(7));
    assert!(poll(call.as_mut()).is_pending());
    time.advance(Duration::from_secs(1));
    assert!(matches!(call.await, Err(BreakerError::TimedOut(_))));
    assert_eq!(tenants.breaker(&7).unwrap().state(), State::Open);
}
