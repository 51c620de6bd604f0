//! What is shed, how much of it, and how it comes back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use mainstay_core::Verdict;
use mainstay_degrade::{
    Assessment, Clock, Criticality, DecisionLayer, DegradationManager, InExtensions, Level, LevelThresholds,
    ObserveLayer, Shed, ShedError, ShedLayer, Signal, Thresholds,
};
use mainstay_testkit::ServiceProbe;
use proptest::prelude::*;
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// An assessment as it would be read from its JSON.
fn assessment(level: Level, easing: serde_json::Value) -> Assessment {
    let json = serde_json::json!({
        "level": level, "since": { "secs": 100, "nanos": 0 }, "since_wall": { "secs_since_epoch": 5, "nanos_since_epoch": 0 },
        "epoch": 3, "causes": [], "down": [], "easing": easing,
    });
    serde_json::from_value(json).unwrap()
}

fn easing(from: f64, over: Option<u64>) -> serde_json::Value {
    let over = over.map(|secs| serde_json::json!({ "secs": secs, "nanos": 0 }));
    serde_json::json!({ "from": from, "since": { "secs": 100, "nanos": 0 }, "over": over })
}

fn shares(assessment: &Assessment, now: Duration) -> [f64; 4] {
    Criticality::ALL.map(|class| class.shed_share(assessment, now))
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[test]
fn each_level_sheds_its_share_of_each_class() {
    for (level, expected) in [
        (Level::None, [0.0; 4]),
        (Level::Minor, [0.0, 0.0, 0.0, 0.5]),
        (Level::Moderate, [0.0, 0.0, 0.5, 1.0]),
        (Level::Severe, [0.0, 0.0, 1.0, 1.0]),
    ] {
        assert_eq!(shares(&assessment(level, serde_json::Value::Null), secs(7)), expected, "{level}");
    }
}

#[test]
fn what_was_shed_comes_back_by_a_growing_share_and_what_matters_more_first() {
    let fallen = assessment(Level::None, easing(3.0, Some(30)));
    assert_eq!(shares(&fallen, secs(100)), [0.0, 0.0, 1.0, 1.0]);
    assert_eq!(shares(&fallen, secs(110)), [0.0, 0.0, 0.5, 1.0]);
    assert_eq!(shares(&fallen, secs(120)), [0.0, 0.0, 0.0, 0.5]);
    assert_eq!(shares(&fallen, secs(130)), [0.0; 4]);
    let stopped = assessment(Level::Minor, easing(2.5, None));
    assert_eq!(shares(&stopped, secs(9_999)), [0.0, 0.0, 0.75, 1.0]);
}

proptest! {
    #[test]
    fn a_share_is_a_share_never_less_than_the_levels_and_never_grows_by_time_alone(
        level in 0_usize..4, from in 0.0..3.0_f64, over in prop::option::of(1_u64..100), times in prop::collection::vec(0_u64..300, 2..20),
    ) {
        let level = Level::ALL[level];
        let (eased, plain) = (assessment(level, easing(from, over)), assessment(level, serde_json::Value::Null));
        let mut times = times;
        times.sort_unstable();
        let mut before = [1.0; 4];
        for now in times {
            let shares = shares(&eased, secs(now));
            for (index, class) in Criticality::ALL.into_iter().enumerate() {
                prop_assert!((0.0..=1.0).contains(&shares[index]));
                prop_assert!(shares[index] >= class.shed_share(&plain, secs(now)));
                prop_assert!(shares[index] <= before[index]);
            }
            prop_assert!(shares[0] == 0.0 && shares[1] == 0.0 && shares[2] <= shares[3]);
            before = shares;
        }
    }

    #[test]
    fn of_any_number_of_requests_the_share_is_shed_to_within_one(level in 0_usize..4, requests in 1_u64..400) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (clock, time) = Clock::manual();
        time.advance(secs(1));
        let load = Signal::new("load").minor(1.0).moderate(2.0).severe(3.0);
        let degrade = DegradationManager::builder().clock(clock).signal(&load).build().unwrap();
        load.set(level as f64);
        degrade.refresh();
        let layer = ShedLayer::new(&degrade, |class: &Criticality| *class);
        let (probe, handle) = ServiceProbe::<Criticality, (), Infallible>::new();
        handle.answer_with(|_| Ok(()));
        let mut service = layer.layer(probe);
        for _ in 0..requests {
            let _ = runtime.block_on(async { service.ready().await?.call(Criticality::Sheddable).await });
        }
        let share = Criticality::Sheddable.shed_share(&degrade.assessment(), degrade.clock().now());
        let expected = share * requests as f64;
        let counts = layer.counts();
        prop_assert!((counts.shed(Criticality::Sheddable) as f64 - expected).abs() <= 1.0);
        prop_assert_eq!(counts.admitted(Criticality::Sheddable), handle.calls());
        prop_assert_eq!(counts.admitted(Criticality::Sheddable) + counts.shed(Criticality::Sheddable), requests);
        prop_assert_eq!(handle.unready_calls(), 0);
    }
}

#[tokio::test]
async fn what_is_shed_is_an_error_that_says_so_or_a_response() {
    let load = Signal::new("load").severe(1.0);
    let degrade = DegradationManager::builder().signal(&load).build().unwrap();
    load.set(2.0);
    degrade.refresh();
    let (probe, handle) = ServiceProbe::<Criticality, u16, Infallible>::new();
    handle.answer_with(|_| Ok(200));
    let layer = ShedLayer::new(&degrade, |class: &Criticality| *class);
    let mut service = layer.layer(probe.clone());
    let error = service.ready().await.unwrap().call(Criticality::SheddablePlus).await.unwrap_err();
    assert_eq!(error.to_string(), "shed: sheddable_plus at severe");
    assert!(matches!(error, ShedError::Shed(Shed { level: Level::Severe, .. })));
    assert_eq!(service.ready().await.unwrap().call(Criticality::Critical).await, Ok(200));

    let mut service = layer.clone().reject_with(|_| 503).layer(probe);
    assert_eq!(service.ready().await.unwrap().call(Criticality::Sheddable).await, Ok(503));
    assert_eq!(handle.calls(), 1);
    assert_eq!(layer.counts().shed, [0, 0, 1, 1]);
}

#[tokio::test]
async fn clones_share_the_count_so_that_half_is_half_of_all() {
    let load = Signal::new("load").minor(1.0);
    let degrade = DegradationManager::builder().signal(&load).build().unwrap();
    load.set(1.0);
    degrade.refresh();
    let (probe, handle) = ServiceProbe::<(), (), Infallible>::new();
    handle.answer_with(|()| Ok(()));
    let layer = ShedLayer::new(&degrade, |_: &()| Criticality::Sheddable);
    let service = layer.layer(probe);
    for _ in 0..100 {
        let _ = service.clone().oneshot(()).await;
    }
    assert_eq!((handle.calls(), layer.counts().shed(Criticality::Sheddable)), (50, 50));
}

#[tokio::test(start_paused = true)]
async fn what_is_shed_never_comes_to_what_observes_the_traffic_inside() {
    let degrade = DegradationManager::builder().clock(Clock::tokio()).build().unwrap();
    degrade.pin(Level::Severe, secs(60)).unwrap();
    let (probe, handle) = ServiceProbe::<Criticality, (), &str>::new();
    handle.answer_with(|_| Ok(()));
    let layer = ShedLayer::new(&degrade, |class: &Criticality| *class);
    let service = layer.layer(ObserveLayer::new(degrade.observer()).layer(probe));
    for _ in 0..40 {
        assert!(service.clone().oneshot(Criticality::Sheddable).await.is_err());
        assert!(service.clone().oneshot(Criticality::Critical).await.is_ok());
    }
    let figures = degrade.observer().figures().unwrap();
    assert_eq!((figures.requests, figures.error_rate), (40, 0.0));
}

/// A manager whose level is severe because half of its requests fail.
async fn overloaded(relax_after: Duration) -> DegradationManager {
    let thresholds = Thresholds {
        severe: LevelThresholds { error_rate: 0.3, ..Thresholds::default().severe },
        ..Thresholds::default()
    };
    let degrade = DegradationManager::builder()
        .clock(Clock::tokio())
        .thresholds(thresholds)
        .relax_after(relax_after)
        .build()
        .unwrap();
    degrade.start().unwrap();
    fail(&degrade, 0.5).await;
    assert_eq!(degrade.level(), Level::Severe);
    degrade
}

/// Forty requests, of which this share fails.
async fn fail(degrade: &DegradationManager, share: f64) {
    for index in 0..40 {
        let failed = f64::from(index) < share * 40.0;
        let verdict = if failed { Verdict::Failure } else { Verdict::Success };
        degrade.observe(verdict, Duration::from_millis(5));
    }
    settle().await;
    degrade.refresh();
}

/// Waits until the level is this one.
async fn until(degrade: &DegradationManager, level: Level) {
    for _ in 0..10_000 {
        if degrade.level() == level {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    unreachable!("the level is {}", degrade.level());
}

fn pressure(degrade: &DegradationManager) -> f64 {
    degrade.assessment().pressure(degrade.clock().now())
}

#[tokio::test(start_paused = true)]
async fn after_a_level_that_the_traffic_held_fell_its_pressure_goes_down_over_the_time_it_was_held() {
    let degrade = overloaded(secs(10)).await;
    until(&degrade, Level::None).await;
    let begun = pressure(&degrade);
    assert!((2.9..=3.0).contains(&begun), "{begun}");
    tokio::time::sleep(secs(5)).await;
    let half = pressure(&degrade);
    assert!((1.4..=1.5).contains(&half), "{half}");
    tokio::time::sleep(secs(5)).await;
    assert_eq!(pressure(&degrade), 0.0);
}

#[tokio::test(start_paused = true)]
async fn new_evidence_takes_back_most_of_what_came_back_and_stops_the_rest() {
    let degrade = overloaded(secs(10)).await;
    until(&degrade, Level::None).await;
    tokio::time::sleep(secs(5)).await;
    fail(&degrade, 0.1).await;
    assert_eq!(degrade.level(), Level::Minor);
    let stopped = pressure(&degrade);
    assert!((2.6..=2.63).contains(&stopped), "from 1.5, three quarters of the way back to 3: {stopped}");
    // It is in the window for at least 27 s, and counts for as long as the level is held after that.
    tokio::time::sleep(secs(36)).await;
    assert_eq!(pressure(&degrade), stopped);
    until(&degrade, Level::None).await;
    assert!(pressure(&degrade) > 2.0, "and it goes on from where it is");
    tokio::time::sleep(secs(10)).await;
    assert_eq!(pressure(&degrade), 0.0);
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_stops_before_the_window_says_so_if_the_last_two_seconds_do() {
    let degrade = overloaded(secs(10)).await;
    until(&degrade, Level::None).await;
    // Good requests enough that thirty bad ones are not yet a twentieth of the window.
    for _ in 0..900 {
        degrade.observe(Verdict::Success, Duration::from_millis(5));
    }
    tokio::time::sleep(secs(5)).await;
    for _ in 0..30 {
        degrade.observe(Verdict::Failure, Duration::from_millis(5));
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(degrade.level(), Level::None);
    let stopped = pressure(&degrade);
    assert!((2.6..=2.63).contains(&stopped), "{stopped}");
    // It goes on when there was no evidence for as long as a level is held.
    tokio::time::sleep(secs(9)).await;
    assert_eq!(pressure(&degrade), stopped);
    tokio::time::sleep(secs(12)).await;
    assert_eq!(pressure(&degrade), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_few_requests_that_fail_by_chance_do_not_stop_what_comes_back() {
    let degrade = overloaded(secs(10)).await;
    until(&degrade, Level::None).await;
    for _ in 0..900 {
        degrade.observe(Verdict::Success, Duration::from_millis(5));
    }
    tokio::time::sleep(secs(5)).await;
    for _ in 0..18 {
        degrade.observe(Verdict::Success, Duration::from_millis(5));
    }
    for _ in 0..2 {
        degrade.observe(Verdict::Failure, Duration::from_millis(5));
    }
    tokio::time::sleep(secs(6)).await;
    assert_eq!(pressure(&degrade), 0.0);
}

#[tokio::test(start_paused = true)]
async fn more_is_shed_than_the_level_says_if_that_does_not_help() {
    let degrade = DegradationManager::builder().clock(Clock::tokio()).relax_after(secs(10)).build().unwrap();
    degrade.start().unwrap();
    let one_in_four = async |times: u32| {
        for _ in 0..times {
            fail(&degrade, 0.25).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    one_in_four(8).await;
    assert_eq!((degrade.level(), pressure(&degrade)), (Level::Moderate, 2.0));
    one_in_four(8).await;
    assert_eq!((degrade.level(), pressure(&degrade)), (Level::Moderate, 3.0), "it had two seconds to help");
    one_in_four(12).await;
    assert_eq!(
        (degrade.level(), pressure(&degrade)),
        (Level::Moderate, 2.0),
        "nor did that, so it is not for the load"
    );
    one_in_four(30).await;
    assert_eq!(pressure(&degrade), 2.0, "and is not tried again at once");
    // From when it helps on, it comes back as always.
    tokio::time::sleep(secs(60)).await;
    assert_eq!((degrade.level(), pressure(&degrade)), (Level::None, 0.0));
}

#[tokio::test(start_paused = true)]
async fn what_the_last_moments_reach_by_themselves_is_shed_once_the_window_reaches_anything() {
    let degrade = DegradationManager::builder().clock(Clock::tokio()).relax_after(secs(10)).build().unwrap();
    degrade.start().unwrap();
    for _ in 0..1_000 {
        degrade.observe(Verdict::Success, Duration::from_millis(5));
    }
    tokio::time::sleep(secs(5)).await;
    for _ in 0..40 {
        degrade.observe(Verdict::Failure, Duration::from_millis(5));
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!((degrade.level(), pressure(&degrade)), (Level::None, 0.0), "one in twenty-six");
    for _ in 0..20 {
        degrade.observe(Verdict::Failure, Duration::from_millis(5));
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!((degrade.level(), pressure(&degrade)), (Level::Minor, 3.0));
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_does_so_under_a_level_that_something_else_made() {
    let load = Signal::new("load").moderate(1.0);
    let degrade = DegradationManager::builder()
        .clock(Clock::tokio())
        .signal(&load)
        .relax_after(secs(10))
        .build()
        .unwrap();
    degrade.start().unwrap();
    fail(&degrade, 0.5).await;
    load.set(1.0);
    until(&degrade, Level::Moderate).await;
    let begun = pressure(&degrade);
    assert!((2.9..=3.0).contains(&begun), "{begun}");
    tokio::time::sleep(secs(5)).await;
    assert_eq!(pressure(&degrade), 2.0, "that of the level is more");
    load.set(0.0);
    until(&degrade, Level::None).await;
    assert_eq!(pressure(&degrade), 0.0, "what the traffic had shed was back by then");
}

#[tokio::test(start_paused = true)]
async fn a_level_that_the_traffic_did_not_hold_sheds_no_longer_when_it_falls() {
    let load = Signal::new("load").severe(1.0);
    let degrade = DegradationManager::builder().clock(Clock::tokio()).signal(&load).build().unwrap();
    degrade.start().unwrap();
    load.set(1.0);
    settle().await;
    assert_eq!(pressure(&degrade), 3.0);
    load.set(0.0);
    until(&degrade, Level::None).await;
    assert_eq!(pressure(&degrade), 0.0);
}

/// Ten minutes of requests of which this share fails, by chance, a number of times a second: the pressure of each second.
async fn ten_minutes(degrade: &DegradationManager, share: f64, a_second: u64) -> Vec<f64> {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut pressures = Vec::new();
    for _ in 0..600 {
        for _ in 0..10 {
            for _ in 0..a_second / 10 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let failed = (random >> 11) as f64 / (1_u64 << 53) as f64 <= share;
                let verdict = if failed { Verdict::Failure } else { Verdict::Success };
                degrade.observe(verdict, Duration::from_millis(5));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        pressures.push(pressure(degrade));
    }
    pressures
}

#[tokio::test(start_paused = true)]
async fn an_ordinary_share_of_failures_lets_everything_come_back() {
    for (share, a_second) in [(0.01, 20), (0.03, 20), (0.03, 100)] {
        let degrade = overloaded(secs(30)).await;
        let pressures = ten_minutes(&degrade, share, a_second).await;
        let shed = pressures.iter().skip(120).filter(|pressure| **pressure > 0.0).count();
        // The window reaches a twentieth by chance now and then.
        assert!(shed < 96, "{share} of {a_second}: {shed} s of 480");
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_that_is_minor_sheds_what_minor_sheds() {
    for a_second in [20, 100] {
        let degrade = DegradationManager::builder().clock(Clock::tokio()).build().unwrap();
        degrade.start().unwrap();
        let pressures = ten_minutes(&degrade, 0.08, a_second).await;
        let more = pressures.iter().skip(60).filter(|pressure| **pressure > 1.0).count();
        assert!(more < 54, "{more} s of 540, at {a_second} a second");
        assert!(pressures.iter().skip(60).all(|pressure| *pressure >= 1.0), "it is minor all the time");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_pin_that_hid_an_overload_classes_come_back_little_by_little() {
    let degrade = overloaded(secs(10)).await;
    degrade.pin(Level::Severe, secs(60)).unwrap();
    tokio::time::sleep(secs(61)).await;
    let begun = pressure(&degrade);
    assert!((2.5..=3.0).contains(&begun), "{begun}");
    tokio::time::sleep(secs(10)).await;
    assert_eq!(pressure(&degrade), 0.0);

    let degrade = DegradationManager::builder().clock(Clock::tokio()).build().unwrap();
    degrade.start().unwrap();
    degrade.pin(Level::Severe, secs(60)).unwrap();
    tokio::time::sleep(secs(61)).await;
    assert_eq!(pressure(&degrade), 0.0, "there was none");
}

#[tokio::test(start_paused = true)]
async fn an_operators_pin_ends_what_comes_back() {
    let degrade = overloaded(secs(10)).await;
    until(&degrade, Level::None).await;
    assert!(pressure(&degrade) > 2.0);
    degrade.pin(Level::None, secs(60)).unwrap();
    assert_eq!(pressure(&degrade), 0.0);
}

#[tokio::test]
async fn a_request_is_shed_by_its_own_assessment_whatever_happened_since() {
    let degrade = DegradationManager::builder().build().unwrap();
    let (probe, handle) = ServiceProbe::<Request<()>, Response<()>, Infallible>::new();
    handle.answer_with(|_| Ok(Response::new(())));
    let layer = ShedLayer::new(&degrade, |_: &Request<()>| Criticality::Sheddable);
    let by_own = layer.clone().assessed_by(InExtensions).layer(probe.clone());
    let well = degrade.assessment();
    degrade.pin(Level::Severe, secs(60)).unwrap();
    let mut request = Request::new(());
    request.extensions_mut().insert(well);
    assert!(by_own.clone().oneshot(request.clone()).await.is_ok());
    assert!(layer.layer(probe).oneshot(request).await.is_err(), "by that of the moment");
    assert!(by_own.clone().oneshot(Request::new(())).await.is_err(), "it has none of its own");

    let decided = DecisionLayer::new(&degrade).layer(by_own.map_err(|shed| shed.to_string()));
    assert_eq!(decided.oneshot(Request::new(())).await.unwrap_err(), "shed: sheddable at severe");
}

#[tokio::test]
async fn what_is_shed_neither_waits_for_a_busy_service_nor_holds_its_permit() {
    let degrade = DegradationManager::builder().build().unwrap();
    degrade.pin(Level::Severe, secs(60)).unwrap();
    let (probe, handle) = ServiceProbe::<Criticality, u16, Infallible>::new();
    let layer = ShedLayer::new(&degrade, |class: &Criticality| *class).reject_with(|_| 503);
    let service = layer.layer(ConcurrencyLimit::new(probe, 1));
    let mut held = service.clone();
    assert_eq!(held.ready().await.unwrap().call(Criticality::Sheddable).await, Ok(503));
    let busy = tokio::spawn(service.clone().oneshot(Criticality::Critical));
    let (_, reply) = handle.next_request().await;
    assert_eq!(service.clone().oneshot(Criticality::Sheddable).await, Ok(503));
    let waits = tokio::spawn(service.oneshot(Criticality::Critical));
    reply.send(Ok(200));
    assert_eq!(busy.await.unwrap(), Ok(200));
    let (_, reply) = handle.next_request().await;
    reply.send(Ok(200));
    assert_eq!(waits.await.unwrap(), Ok(200));
    assert_eq!(handle.unready_calls(), 0);
    drop(held);
}
