//! Whatever a stranger asks the probes: there is an answer at once, with a status that is known, that the query did not make worse,
//! and without a secret that the policy keeps.
//!
//! The first byte picks how the service is, the second who is shown details, the third which endpoints are served. What follows is text:
//! a line with the method and the address, and then a line `name: value` for each header.
#![no_main]

use std::sync::OnceLock;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use libfuzzer_sys::fuzz_target;
use mainstay_health::http::{DetailsPolicy, Endpoint, HealthService, ProbeBody};
use mainstay_health::{
    Check, CheckError, CheckOutcome, Clock, ErrorClass, HealthManager, ManualClock, Pushed, Status,
};
use serde_json::Value;
use tower::Service;

/// In every message, error and detail.
const SECRET: &str = "sesame";
const OPERATOR: &str = "x-operator";

fn build(change: impl FnOnce(&HealthManager, &[Pushed; 5])) -> (HealthManager, ManualClock) {
    let pushed: [Pushed; 5] = std::array::from_fn(|_| Pushed::new());
    let [worker, disk, redis, egress, llm] = &pushed;
    // Time stands still, and nothing changes between two answers.
    let (clock, time) = Clock::manual();
    let health = HealthManager::builder("fuzzed")
        .clock(clock)
        .check(Check::internal("worker", worker).critical().restart_on_failure())
        .check(Check::exclusive("wal disk", disk).critical())
        .check(Check::shared("redis", redis).critical())
        .check(Check::shared("egress \"ä\"", egress))
        .check(Check::shared("llm", llm).depends_on("egress \"ä\""))
        .build()
        .expect("it builds");
    for pushed in &pushed {
        pushed.set(CheckOutcome::healthy().message(SECRET).detail(SECRET, SECRET));
    }
    change(&health, &pushed);
    (health, time)
}

fn bad() -> CheckOutcome {
    let error = CheckError::new(ErrorClass::Overloaded, format!("{SECRET}\u{1}<script>"));
    CheckOutcome::failed(error).detail("user", SECRET)
}

fn start(health: &HealthManager) {
    health.start().expect("there is a runtime");
}

/// How the service is.
struct Scene {
    health: HealthManager,
    /// Of each endpoint, when it is asked for nothing else.
    statuses: [u16; Endpoint::ALL.len()],
}

fn scenes() -> &'static [Scene] {
    static SCENES: OnceLock<Vec<Scene>> = OnceLock::new();
    SCENES.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _inside = runtime.enter();
        let healths = vec![
            build(|_, _| {}),
            build(|health, _| start(health)),
            build(|health, [worker, disk, ..]| {
                start(health);
                worker.set(bad());
                disk.set(bad());
            }),
            build(|health, [_, _, redis, egress, _]| {
                start(health);
                health.disable("redis").expect("it is there");
                redis.set(bad());
                egress.set(bad());
                health.begin_maintenance(SECRET);
            }),
            build(|health, [_, disk, redis, ..]| {
                start(health);
                disk.set(CheckOutcome::degraded(SECRET));
                redis.set(Status::Unknown);
            }),
            build(|health, [.., llm]| {
                start(health);
                llm.set(bad());
                let _latch = health.startup_latch("warm-up");
            }),
            build(|health, _| start(health)),
        ];
        // What is ready to run, runs now, and then never again.
        runtime.block_on(async {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        });
        std::mem::forget(runtime);
        // The last one has stood still for an hour.
        let [.., (_, time)] = &healths[..] else { unreachable!() };
        time.advance(Duration::from_secs(3_600));
        let scene = |(health, _): (HealthManager, ManualClock)| {
            let statuses = Endpoint::ALL.map(|endpoint| {
                let asked = Request::get(endpoint.path()).body(()).expect("a request");
                ask(&HealthService::new(&health), asked).status().as_u16()
            });
            Scene { health, statuses }
        };
        let scenes: Vec<Scene> = healths.into_iter().map(scene).collect();
        assert!(
            scenes.iter().any(|scene| scene.statuses[1] == 200)
                && scenes.iter().any(|scene| scene.statuses[1] == 503)
        );
        assert!(scenes.iter().any(|scene| scene.statuses[0] == 503), "no scene is dead");
        scenes
    })
}

fn ask(service: &HealthService, request: Request<()>) -> Response<ProbeBody> {
    service.clone().call(request).into_inner().expect("it never fails")
}

fn read(text: &[u8]) -> Option<(Method, Uri, HeaderMap)> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let line = lines.next()?;
    let space = line.iter().position(|byte| *byte == b' ')?;
    let method = Method::from_bytes(&line[..space]).ok()?;
    let uri = Uri::try_from(&line[space + 1..]).ok()?;
    let mut headers = HeaderMap::new();
    for line in lines.take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) {
            headers.append(name, value);
        }
    }
    Some((method, uri, headers))
}

fn request(method: &Method, uri: &Uri, headers: &HeaderMap) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri.clone();
    *request.headers_mut() = headers.clone();
    request
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[scene, policy, served], text)) = bytes.split_first_chunk::<3>() else { return };
    let Some((method, uri, headers)) = read(text) else { return };
    let scene = &scenes()[usize::from(scene) % scenes().len()];
    let operator = headers.contains_key(OPERATOR);
    let (policy, may_see) = match policy % 4 {
        0 => (DetailsPolicy::Never, false),
        1 => (DetailsPolicy::Always, true),
        2 => (DetailsPolicy::when(|request| request.headers.contains_key(OPERATOR)), operator),
        _ => (DetailsPolicy::when(|_| false), false),
    };
    let mut service = HealthService::new(&scene.health).details(policy);
    if served % 4 == 1 {
        service = service.only(
            Endpoint::ALL.into_iter().filter(|endpoint| *endpoint as usize % 3 != served as usize / 4 % 3),
        );
    }

    let response = ask(&service, request(&method, &uri, &headers));
    let status = response.status();
    let answered = response.headers();
    let body = std::str::from_utf8(response.body().as_bytes()).expect("text");
    assert_eq!(answered["cache-control"], "no-store");
    let kind = answered["content-type"].to_str().expect("text");

    let endpoint = Endpoint::at(uri.path()).filter(|endpoint| service.serves(*endpoint));
    let expected = match (endpoint, &method) {
        (None, _) => StatusCode::NOT_FOUND,
        // The shortest way is for GET alone.
        (Some(_), method) if method != Method::GET && method != Method::HEAD => {
            StatusCode::METHOD_NOT_ALLOWED
        }
        (Some(endpoint), _) => StatusCode::from_u16(scene.statuses[endpoint as usize]).expect("a status"),
    };
    // Only who leaves checks out may hear something better.
    let excludes = uri.query().is_some_and(|query| query.contains("exclude") || query.contains('%'));
    assert!(status == expected || excludes && expected == 503 && status == 200, "{status} for {expected}");
    assert_eq!(status == StatusCode::METHOD_NOT_ALLOWED, answered.contains_key("allow"));

    if method == Method::HEAD {
        assert!(body.is_empty());
        let got = ask(&service, request(&Method::GET, &uri, &headers));
        assert_eq!(got.status(), status);
        let length = got.body().as_bytes().len().to_string();
        assert_eq!(answered["content-length"], length.as_str());
        return;
    }
    // Names that are no check's are repeated, by whom they came from.
    let told: String = body.lines().filter(|line| !line.starts_with("warn: ")).collect();
    assert!(may_see || !told.contains(SECRET), "{told}");
    match kind {
        "text/plain; charset=utf-8" => assert!(!told.contains(SECRET), "{told}"),
        "application/json" | "application/health+json" => {
            let json: Value = serde_json::from_str(body).expect("JSON");
            assert!(json.is_object());
            let asked = headers.get_all("accept").iter().any(|accept| {
                accept
                    .as_bytes()
                    .to_ascii_lowercase()
                    .windows(23)
                    .any(|window| window == b"application/health+json")
            });
            assert!(kind == "application/json" || asked);
            if uri.path() == "/health/detailed" && kind == "application/json" && scene.health.is_live() {
                // Before the checks have run there is none to tell.
                let open = HealthService::new(&scene.health).details(DetailsPolicy::Always);
                let all = ask(
                    &open,
                    request(&Method::GET, &Uri::from_static("/health/detailed"), &HeaderMap::new()),
                );
                let all = String::from_utf8_lossy(all.body().as_bytes()).into_owned();
                let may_be_told = may_see && all.contains(SECRET);
                assert!(excludes || told.contains(SECRET) == may_be_told, "{told}");
            }
        }
        other => panic!("{other}"),
    }
});
