//! A program made from settings, and other settings while it runs.
#![cfg(all(feature = "config", feature = "tokio"))]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mainstay::breaker::{Breaker, Control, OpenFor, State};
use mainstay::config::{Environment, Loaded, Loader};
use mainstay::degrade::{Behavior, Level};
use mainstay::health::{Check, Status};
use mainstay::{Clock, Mainstay, MainstayBuilder, ReloadError, Reloader};

fn load(text: &str) -> Loaded {
    Loader::new().text("mainstay.yaml", text).load().unwrap()
}

const FILE: &str = "
circuit_breakers:
  redis: { max_failures: 3, timeout: 15s }
  llm: { trip: [{ failure_rate: 0.5, over: { calls: 20 } }], open_for: { fixed: 5s } }
health:
  service: orders
  checks:
    database: { critical: true, scope: shared, interval: 30s, timeout: 5s }
degradation:
  relax_after: 10s
  fallback_behaviors: { search: { when_down: { redis: skip } } }
";

fn builder(text: &str) -> MainstayBuilder {
    Mainstay::from_settings("unnamed", load(text).settings())
        .clock(Clock::tokio())
        .check(Check::shared("database", || async {}))
}

fn redis(mainstay: &Mainstay) -> Breaker {
    mainstay.breaker("redis").unwrap()
}

fn fail(breaker: &Breaker, times: u32) {
    for _ in 0..times {
        let _ = breaker.call(|| Err::<(), _>("connection refused"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_file_names_is_built_and_is_as_it_says() {
    let mainstay = builder(FILE).build().unwrap();
    mainstay.start().unwrap();
    assert_eq!(mainstay.health().report().service().as_str(), "orders");
    let check = mainstay.health().settings("database").unwrap();
    assert_eq!((check.critical, check.interval), (true, Duration::from_secs(30)));
    fail(&redis(&mainstay), 3);
    assert_eq!(redis(&mainstay).state(), State::Open);
    assert_eq!(redis(&mainstay).settings().open_for, OpenFor::fixed(Duration::from_secs(15)));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(mainstay.degradation().behavior("search").behavior, Behavior::Skip);
    // The open time, and the ten seconds that the level is held.
    tokio::time::sleep(Duration::from_millis(25_100)).await;
    assert_eq!(mainstay.degradation().level(), Level::None);
}

#[tokio::test(start_paused = true)]
async fn gathers_have_the_times_of_the_settings() {
    let times = "  partial_results: { timeout_override: 2s, max_wait_time: 9s, after_quorum: 1s }\n";
    let mainstay = builder(&(FILE.to_owned() + times)).build().unwrap();
    let slow = async || {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok::<_, &str>(1)
    };
    let gathered = mainstay.gather("any").part("a", slow()).part("b", slow()).run().await.unwrap();
    assert!(gathered.took < Duration::from_secs(3), "{:?}", gathered.took);
    assert!(!gathered.accepted());
}

#[test]
fn a_check_that_is_only_in_the_file_or_only_in_code_is_refused_by_name() {
    let only_in_file = Mainstay::from_settings("orders", load(FILE).settings()).build().unwrap_err();
    assert_eq!(
        only_in_file.to_string(),
        "health.checks.database: database is refused: must be one of the program's checks: it has none"
    );
    let only_in_code = builder(FILE).check(Check::internal("queue", || async {})).build().unwrap_err();
    assert_eq!(
        only_in_code.to_string(),
        "health.checks.queue: nothing is refused: must be named in the settings, as every check of the program's"
    );
    let other_scope = Mainstay::from_settings("orders", load(FILE).settings())
        .check(Check::internal("database", || async {}))
        .build();
    assert_eq!(other_scope.unwrap_err().field, "health.checks.database.scope");
}

#[test]
fn a_breaker_that_code_and_file_name_is_one_and_the_file_decides() {
    let in_code =
        builder(FILE).breaker("redis", |redis| redis.open_for(OpenFor::fixed(Duration::from_secs(1))));
    let mainstay = in_code.build().unwrap();
    assert_eq!(mainstay.breakers().len(), 2);
    assert_eq!(redis(&mainstay).settings().open_for, OpenFor::fixed(Duration::from_secs(15)));
    let twice = builder(FILE).breaker("redis", |redis| redis).breaker("redis", |redis| redis).build();
    assert_eq!(twice.unwrap_err().field, "name");
}

#[test]
fn a_breaker_that_is_not_enabled_only_observes_and_an_operators_hand_is_stronger() {
    let off = FILE.replace("redis: { ", "redis: { enabled: false, ");
    let mainstay = builder(&off).build().unwrap();
    fail(&redis(&mainstay), 10);
    assert!(redis(&mainstay).call(|| Ok::<_, ()>(())).is_ok(), "it only observes");
    mainstay.apply(load(FILE).settings()).unwrap();
    assert_eq!(redis(&mainstay).control(), Control::Automatic);
    redis(&mainstay).set_control(Control::ForcedOpen);
    mainstay.apply(load(&off).settings()).unwrap();
    assert_eq!(redis(&mainstay).control(), Control::ForcedOpen);
}

#[test]
fn the_programs_hook_hears_of_the_breakers_whose_settings_say_so() {
    let (told, heard) = std::sync::mpsc::channel();
    let quiet = FILE.replace("redis: { ", "redis: { on_state_change: false, ");
    let mainstay = builder(&quiet)
        .on_state_change(move |transition| {
            told.send((transition.name.as_str().to_owned(), transition.to)).unwrap()
        })
        .build()
        .unwrap();
    let (delivered, later) = std::sync::mpsc::channel();
    redis(&mainstay).on_transition(move |_| delivered.send(()).unwrap_or_default()).unwrap();
    redis(&mainstay).trip();
    later.recv_timeout(Duration::from_secs(5)).unwrap();
    mainstay.breaker("llm").unwrap().trip();
    assert_eq!(heard.recv_timeout(Duration::from_secs(5)).unwrap(), ("llm".to_owned(), State::Open));
    mainstay.apply(load(FILE).settings()).unwrap();
    redis(&mainstay).reset();
    assert_eq!(heard.recv_timeout(Duration::from_secs(5)).unwrap(), ("redis".to_owned(), State::Closed));
}

#[tokio::test(start_paused = true)]
async fn other_settings_keep_the_state_of_everything() {
    let mainstay = builder(FILE).build().unwrap();
    mainstay.start().unwrap();
    fail(&redis(&mainstay), 3);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let (before, level) = (redis(&mainstay).snapshot(), mainstay.degradation().assessment());
    let other = FILE.replace("timeout: 15s", "timeout: 40s").replace("interval: 30s", "interval: 20s");
    mainstay.apply(load(&other).settings()).unwrap();
    let after = redis(&mainstay).snapshot();
    assert_eq!((after.state, after.epoch), (State::Open, before.epoch));
    assert_eq!(mainstay.degradation().assessment().causes, level.causes);
    assert_eq!(mainstay.health().settings("database").unwrap().interval, Duration::from_secs(20));
    assert_eq!(mainstay.health().report().check("database").unwrap().status, Status::Healthy);
    assert_eq!(redis(&mainstay).settings().open_for, OpenFor::fixed(Duration::from_secs(40)));
}

#[test]
fn what_is_refused_changes_nothing() {
    let mainstay = builder(FILE).build().unwrap();
    let changed = FILE.replace("timeout: 15s", "timeout: 40s");
    for (wrong, field) in [
        (changed.clone() + "  after: no\n", ""),
        (changed.replace("  llm:", "  new: { max_failures: 1 }\n  llm:"), "circuit_breakers.new"),
        (changed.replace("database: {", "other: {"), "health.checks.other"),
        (changed.replace("scope: shared", "scope: exclusive"), "health.checks.database.scope"),
    ] {
        match Loader::new().text("mainstay.yaml", &wrong).load() {
            Ok(loaded) => assert_eq!(mainstay.apply(loaded.settings()).unwrap_err().field, field),
            Err(_) => assert_eq!(field, ""),
        }
        assert_eq!(redis(&mainstay).settings().open_for, OpenFor::fixed(Duration::from_secs(15)));
    }
    let not_from_settings = Mainstay::builder("orders").build().unwrap();
    assert_eq!(not_from_settings.apply(load(FILE).settings()).unwrap_err().field, "settings");
}

#[tokio::test(start_paused = true)]
async fn half_open_keeps_its_probes() {
    let mainstay = builder(FILE).build().unwrap();
    let redis = redis(&mainstay);
    fail(&redis, 3);
    tokio::time::sleep(Duration::from_secs(15)).await;
    let probe = redis.try_acquire().unwrap();
    mainstay.apply(load(&FILE.replace("max_failures: 3", "max_failures: 4")).settings()).unwrap();
    assert_eq!(redis.snapshot().state, State::HalfOpen);
    probe.success();
    redis.try_acquire().unwrap().success();
    assert_eq!(redis.state(), State::Closed, "the probe of before counted");
}

#[test]
fn a_hundred_reloads_a_second_lose_no_verdict_and_are_never_mixed() {
    let pair = [
        FILE.replace("max_failures: 3, timeout: 15s", "max_failures: 1000000, timeout: 15s"),
        FILE.replace("max_failures: 3, timeout: 15s", "max_failures: 2000000, timeout: 30s"),
    ];
    let loaded = pair.each_ref().map(|text| load(text));
    let mainstay = builder(&pair[0]).build().unwrap();
    let expected = loaded.each_ref().map(|loaded| loaded.settings().breaker("redis").settings.clone());
    let (done, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    let breaker = redis(&mainstay);
    let epoch = breaker.snapshot().epoch;
    std::thread::scope(|scope| {
        for task in 0..8 {
            let (done, calls, breaker, expected) = (&done, &calls, breaker.clone(), &expected);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let verdict = breaker.call(|| if task % 2 == 0 { Ok(()) } else { Err(()) });
                    assert!(verdict.is_ok() == (task % 2 == 0));
                    calls.fetch_add(1, Ordering::Relaxed);
                    let settings = breaker.settings();
                    assert!(expected.contains(&settings), "mixed: {settings:?}");
                }
            });
        }
        let began = std::time::Instant::now();
        let mut reloads = 0;
        while began.elapsed() < Duration::from_secs(1) || reloads < 100 {
            mainstay.apply(loaded[reloads % 2].settings()).unwrap();
            reloads += 1;
        }
        done.store(true, Ordering::Relaxed);
    });
    let after = breaker.snapshot();
    assert_eq!(after.totals.success + after.totals.failure, calls.into_inner());
    assert_eq!((after.state, after.epoch), (State::Closed, epoch));
}

#[test]
fn checks_that_swap_what_they_depend_on_are_reconfigured_at_once() {
    let file = |a: &str, b: &str| {
        format!(
            "health: {{ checks: {{ a: {{ scope: shared, depends_on: [{a}] }}, b: {{ scope: shared, depends_on: [{b}] }} }} }}"
        )
    };
    let mainstay = Mainstay::from_settings("orders", load(&file("", "a")).settings())
        .check(Check::shared("a", || async {}))
        .check(Check::shared("b", || async {}))
        .build()
        .unwrap();
    mainstay.apply(load(&file("b", "")).settings()).unwrap();
    assert_eq!(mainstay.health().settings("a").unwrap().depends_on.len(), 1);
    let circle = mainstay.apply(load(&file("b", "a")).settings()).unwrap_err();
    assert!(circle.rule.contains("cycle"), "{circle}");
    assert!(mainstay.health().settings("b").unwrap().depends_on.is_empty(), "all or nothing");
}

#[test]
fn what_an_operator_observes_by_hand_stays_so_after_a_reload() {
    let mainstay = builder(FILE).build().unwrap();
    redis(&mainstay).set_control(Control::ObserveOnly);
    mainstay.apply(load(&FILE.replace("timeout: 15s", "timeout: 16s")).settings()).unwrap();
    assert_eq!(redis(&mainstay).control(), Control::ObserveOnly);
}

#[test]
fn where_code_and_settings_speak_of_the_same_the_settings_hold() {
    let in_code = builder(FILE)
        .degradation(|levels| levels.behaviors(mainstay::degrade::BehaviorRules::new()))
        .health(|health| health.drain_delay(Duration::from_secs(77)));
    let mainstay = in_code.build().unwrap();
    assert!(mainstay.degradation().behavior("search").operation.is_some());
}

#[test]
fn what_is_only_read_at_the_start_cannot_be_changed_later_so_that_the_fingerprint_is_true() {
    let mainstay = builder(FILE).build().unwrap();
    for (other, field) in [
        (FILE.replace("service: orders", "service: invoices"), "health.service"),
        (FILE.replace("service: orders", "service: orders\n  drain_delay: 7s"), "health.drain_delay"),
        (FILE.replace("relax_after: 10s", "enabled: false"), "degradation.enabled"),
    ] {
        let refused = mainstay.apply(load(&other).settings()).unwrap_err();
        assert_eq!((refused.field.as_str(), refused.rule.contains("begin anew")), (field, true));
    }
}

#[test]
fn a_check_that_is_critical_without_a_scope_is_not_silently_shared() {
    let bare = FILE.replace("critical: true, scope: shared", "critical: true");
    let refused = builder(&bare).build().unwrap_err();
    assert!(refused.rule.contains("scope: shared"), "{refused}");
}

#[test]
fn a_breaker_that_the_settings_do_not_name_is_codes() {
    let text = FILE.replace("circuit_breakers:", "circuit_breakers:\n  default: { call_timeout: 7s }");
    let own = OpenFor::fixed(Duration::from_secs(1));
    let mainstay = builder(&text).breaker("payments", move |breaker| breaker.open_for(own)).build().unwrap();
    let payments = mainstay.breaker("payments").unwrap();
    assert_eq!(
        (payments.settings().open_for, payments.settings().timeout),
        (own, Some(Duration::from_secs(7)))
    );
    mainstay.apply(load(&text.replace("timeout: 15s", "timeout: 16s")).settings()).unwrap();
    assert_eq!(payments.settings().open_for, own, "a reload leaves it alone");
}

#[test]
fn a_breaker_that_the_settings_name_no_longer_is_refused() {
    let mainstay = builder(FILE).build().unwrap();
    let less = FILE.lines().filter(|line| !line.contains("  llm:")).collect::<Vec<_>>().join("\n");
    assert_eq!(mainstay.apply(load(&less).settings()).unwrap_err().field, "circuit_breakers.llm");
    assert!(mainstay.apply(load("").settings()).is_err(), "an emptied file");
}

#[test]
fn what_an_operator_did_to_a_check_stays_unless_the_settings_say_otherwise() {
    let mainstay = builder(FILE).build().unwrap();
    mainstay.health().disable("database").unwrap();
    mainstay.apply(load(&FILE.replace("timeout: 15s", "timeout: 16s")).settings()).unwrap();
    assert!(!mainstay.health().settings("database").unwrap().enabled);
    mainstay.apply(load(&FILE.replace("interval: 30s", "interval: 31s")).settings()).unwrap();
    assert_eq!(mainstay.health().settings("database").unwrap().interval, Duration::from_secs(31));
}

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new(text: &str) -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap() };
        files.write(text);
        files
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("mainstay.yaml")
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    fn start(&self) -> (Mainstay, Reloader) {
        let loader = Loader::new().file(self.path()).environment(Environment::new());
        let loaded = loader.load().unwrap();
        let mainstay = Mainstay::from_settings("orders", loaded.settings())
            .check(Check::shared("database", || async {}))
            .build()
            .unwrap();
        let reloader = Reloader::new(&mainstay, loader, loaded).unwrap();
        (mainstay, reloader)
    }
}

/// Waits for the next reload, for a second at most of the looks' clock: how long it takes to read is the machine's business.
async fn reloaded(watch: &mut mainstay::Watch) {
    tokio::time::timeout(Duration::from_secs(1), watch.changed()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_rewritten_is_in_force_within_a_second_and_what_is_wrong_is_told_until_it_is_mended() {
    let files = Files::new(FILE);
    let (mainstay, reloader) = files.start();
    mainstay.start().unwrap();
    let _following = reloader.follow().unwrap();
    let mut watch = reloader.watch();
    let first = reloader.status().fingerprint;

    files.write(&FILE.replace("timeout: 15s", "timeout: 40s"));
    reloaded(&mut watch).await;
    assert_eq!(redis(&mainstay).settings().open_for, OpenFor::fixed(Duration::from_secs(40)));
    assert_ne!(reloader.status().fingerprint, first);

    files.write(&FILE.replace("timeout: 15s", "timeout: soon"));
    reloaded(&mut watch).await;
    let status = reloader.status();
    assert!(matches!(&*status.wrong.unwrap(), ReloadError::Settings(errors) if errors.iter().count() == 1));
    assert_eq!((status.reloads, status.refused), (1, 1));
    assert_eq!(redis(&mainstay).settings().open_for, OpenFor::fixed(Duration::from_secs(40)));
    let mut reports = mainstay.health().subscribe();
    while mainstay.health().report().check("settings").unwrap().status != Status::Degraded {
        reports.changed().await;
    }
    assert!(mainstay.health().is_ready());
    assert_eq!(mainstay.degradation().level(), Level::None, "a file that is wrong degrades nobody's answers");

    fs::remove_file(files.path()).unwrap();
    reloaded(&mut watch).await;
    assert_eq!(redis(&mainstay).settings().open_for, OpenFor::fixed(Duration::from_secs(40)), "gone");

    files.write(FILE);
    reloaded(&mut watch).await;
    assert!(reloader.status().wrong.is_none());
    assert_eq!(reloader.status().fingerprint, first);
    while mainstay.health().report().check("settings").unwrap().status != Status::Healthy {
        reports.changed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_changed_between_loading_and_following_is_in_force() {
    let files = Files::new(FILE);
    let (mainstay, reloader) = files.start();
    files.write(&FILE.replace("timeout: 15s", "timeout: 40s"));
    let mut watch = reloader.watch();
    let _following = reloader.follow().unwrap();
    reloaded(&mut watch).await;
    assert_eq!(redis(&mainstay).settings().open_for, OpenFor::fixed(Duration::from_secs(40)));
}

#[tokio::test(start_paused = true)]
async fn files_are_followed_while_the_following_lives_and_no_longer() {
    let files = Files::new(FILE);
    let (mainstay, reloader) = files.start();
    let mut watch = reloader.watch();
    let following = reloader.follow().unwrap();
    drop(reloader);
    files.write(&FILE.replace("timeout: 15s", "timeout: 40s"));
    reloaded(&mut watch).await;
    assert_eq!(redis(&mainstay).settings().open_for, OpenFor::fixed(Duration::from_secs(40)));
    assert!(mainstay.apply(load(FILE).settings()).is_err(), "the files say what is in force");
    drop(following);
    // The look that rang the bell may be at its last line.
    while mainstay.apply(load(FILE).settings()).is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_reads_the_programs_own_section_may_panic() {
    let files = Files::new(&(FILE.to_owned() + "own: { port: 80 }\n"));
    let loader = Loader::new().file(files.path()).environment(Environment::new());
    let loader =
        loader.check_section("own", |section| assert_ne!(section.number::<u16>("port").required(), 81));
    let loaded = loader.load().unwrap();
    let mainstay = Mainstay::from_settings("orders", loaded.settings())
        .check(Check::shared("database", || async {}))
        .build()
        .unwrap();
    let reloader = Reloader::new(&mainstay, loader, loaded).unwrap();
    let _following = reloader.follow().unwrap();
    let mut watch = reloader.watch();
    files.write(&(FILE.to_owned() + "own: { port: 81 }\n"));
    reloaded(&mut watch).await;
    assert!(matches!(&*reloader.status().wrong.unwrap(), ReloadError::Panicked(_)));
    files.write(&(FILE.to_owned() + "own: { port: 82 }\n"));
    reloaded(&mut watch).await;
    assert_eq!(reloader.loaded().section("own").number::<u16>("port").required(), 82);
    files.write("");
    reloaded(&mut watch).await;
    assert!(reloader.status().wrong.is_some(), "an emptied file");
    files.write(&(FILE.replace("timeout: 15s", "timeout: 40s") + "own: { port: 82 }\n"));
    reloaded(&mut watch).await;
    assert!(reloader.status().wrong.is_none(), "and the files are followed still");
    assert!(Reloader::new(&mainstay, Loader::new(), load(FILE)).is_err(), "there is one already");
}

#[cfg(unix)]
#[tokio::test]
async fn a_hangup_reads_the_variables_and_files_again() {
    let files = Files::new(FILE);
    let (_mainstay, reloader) = files.start();
    let _following = reloader.follow().unwrap();
    let mut watch = reloader.watch();
    // Of the same length and at the same time, so that by itself nobody would notice.
    let times = fs::metadata(files.path()).unwrap().modified().unwrap();
    files.write(&FILE.replace("timeout: 15s", "timeout: 17s"));
    fs::File::options().write(true).open(files.path()).unwrap().set_modified(times).unwrap();
    let hangup = std::process::Command::new("kill").args(["-HUP", &std::process::id().to_string()]).status();
    assert!(hangup.unwrap().success());
    tokio::time::timeout(Duration::from_mins(1), watch.changed()).await.unwrap();
    assert_eq!(reloader.status().reloads, 1);
}

#[cfg(feature = "metrics")]
#[test]
fn how_it_stands_with_the_settings_can_be_seen() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};
    let files = Files::new(FILE);
    let (_mainstay, reloader) = files.start();
    let recorder = DebuggingRecorder::new();
    let published = || {
        metrics::with_local_recorder(&recorder, || reloader.publish());
        let figures = recorder.snapshotter().snapshot().into_vec();
        let figure = |name: &str| {
            figures.iter().find(|(key, ..)| key.key().name() == name).map(|(.., value)| match value {
                DebugValue::Gauge(figure) => figure.into_inner(),
                _ => f64::NAN,
            })
        };
        (figure("mainstay_config_valid").unwrap(), figure("mainstay_config_fingerprint").unwrap())
    };
    let (valid, fingerprint) = published();
    assert_eq!((valid, fingerprint), (1.0, reloader.status().fingerprint.as_f64()));
    files.write("nothing: known");
    reloader.reload().unwrap_err();
    assert_eq!(published(), (0.0, fingerprint));
    files.write(&FILE.replace("timeout: 15s", "timeout: 17s"));
    reloader.reload().unwrap();
    let (valid, other) = published();
    assert!(valid == 1.0 && other != fingerprint);
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_link_that_kubernetes_swaps_is_followed() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (version, text) in [("..v1", FILE.to_owned()), ("..v2", FILE.replace("timeout: 15s", "timeout: 40s"))]
    {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("mainstay.yaml"), text).unwrap();
    }
    symlink("..v1", at("..data")).unwrap();
    symlink("..data/mainstay.yaml", at("mainstay.yaml")).unwrap();
    let files = Files { directory };
    let (mainstay, reloader) = files.start();
    let _following = reloader.follow().unwrap();
    let mut watch = reloader.watch();
    let at = |name: &str| files.directory.path().join(name);
    symlink("..v2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    reloaded(&mut watch).await;
    assert_eq!(redis(&mainstay).settings().open_for, OpenFor::fixed(Duration::from_secs(40)));
}

#[test]
fn a_reload_by_hand_says_what_changed_and_what_is_wrong() {
    let files = Files::new(FILE);
    let (_mainstay, reloader) = files.start();
    assert!(reloader.reload().unwrap().is_empty());
    files.write(&FILE.replace("max_failures: 3", "max_failures: 4"));
    let changes: Vec<String> = reloader.reload().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["circuit_breakers.redis.trip[0].consecutive_failures: 3 -> 4"]);
    files.write(&FILE.replace("redis: {", "radis: {"));
    let wrong = reloader.reload().unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "circuit_breakers.radis: radis is refused: must have been named at the start: begin anew to add a breaker"
    );
    assert!(Arc::ptr_eq(&wrong, &reloader.status().wrong.unwrap()));
    assert!(reloader.follow().is_err(), "there is no runtime here");
}
