//! Around an axum application.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::task::{Context, Waker};
use std::time::Duration;

use crate::scripted::{OPEN, breaker, totals};
use axum::body::Body;
use axum::extract::{MatchedPath, Path, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use mainstay_breaker::{
    Breaker, Clock, Control, Keyed, RejectReason, Rejected, Settings, State, TimedOut, Trip, Verdict,
};
use mainstay_http::{GuardedBody, HttpLayer, retry_after};
use tower::{Layer, Service, ServiceExt, service_fn};

async fn status(Path(status): Path<u16>) -> Response {
    StatusCode::from_u16(status).unwrap().into_response()
}

fn routes() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/status/{status}", get(status).post(status))
        .route("/echo", post(async |body: String| body))
        .route("/wait", get(async || std::future::pending::<&str>().await))
        .route("/limited", get(async || (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "60")])))
        .route("/away", get(async || (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "60")])))
}

async fn send(app: &Router, method: Method, path: &str) -> Response {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap()
}

async fn ask(app: &Router, path: &str) -> Response {
    send(app, Method::GET, path).await
}

async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn answers_pass_through_unchanged() {
    let (breaker, _) = breaker(3);
    let app = routes().layer(HttpLayer::server(breaker.clone()));

    let response = ask(&app, "/").await;
    assert_eq!(response.headers()["content-length"], "5");
    assert_eq!(text(response).await, "hello");

    let request = Request::post("/echo").body(Body::from("ping")).unwrap();
    assert_eq!(text(app.clone().oneshot(request).await.unwrap()).await, "ping");

    let head = send(&app, Method::HEAD, "/").await;
    assert_eq!((head.status(), head.headers()["content-length"].as_bytes()), (StatusCode::OK, &b"5"[..]));
    assert_eq!(text(head).await, "");
    assert_eq!(totals(&breaker), [3, 0, 0, 0]);
}

#[tokio::test]
async fn an_open_breaker_answers_with_a_problem() {
    let (breaker, time) = breaker(2);
    let app = routes().layer(HttpLayer::server(breaker.clone()));
    for _ in 0..2 {
        assert_eq!(ask(&app, "/status/500").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    time.advance(Duration::from_millis(2_500));

    let response = ask(&app, "/").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    // 7.5 s are left.
    assert_eq!(response.headers()[RETRY_AFTER], "8");
    let length = response.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap();
    let text = text(response).await;
    assert_eq!(text.len(), length);
    assert!(
        text.starts_with(r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":""#),
        "{text}"
    );
}

#[tokio::test]
async fn no_rejection_tells_the_breakers_name() {
    let (breaker, _) = breaker(2);
    breaker.set_control(Control::ForcedOpen);
    let layer = HttpLayer::server(breaker.clone()).timeout(Duration::ZERO);
    let app = routes().layer(layer);

    let rejected = ask(&app, "/").await;
    assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
    // Only a hand can tell when.
    assert!(!rejected.headers().contains_key(RETRY_AFTER));

    breaker.set_control(Control::Automatic);
    let timed_out = ask(&app, "/wait").await;
    assert_eq!(timed_out.status(), StatusCode::GATEWAY_TIMEOUT);

    for response in [rejected, timed_out] {
        assert!(!format!("{:?}", response.headers()).contains("secret"));
        assert!(!text(response).await.contains("secret"));
    }
}

#[tokio::test]
async fn a_layer_outside_is_told_who_and_why() {
    let (breaker, _) = breaker(1);
    let log = async |request: Request, next: middleware::Next| {
        let mut response = next.run(request).await;
        if let Some(rejected) = response.extensions().get::<Rejected>() {
            let told = format!("{} {:?}", rejected.name(), rejected.reason());
            response.headers_mut().insert("x-why", told.parse().unwrap());
        }
        if let Some(timed_out) = response.extensions().get::<TimedOut>() {
            let told = format!("{} {:?}", timed_out.name(), timed_out.after());
            response.headers_mut().insert("x-why", told.parse().unwrap());
        }
        response
    };
    let layer = HttpLayer::server(breaker).timeout(Duration::ZERO);
    let app = routes().layer(layer).layer(middleware::from_fn(log));
    assert_eq!(ask(&app, "/wait").await.headers()["x-why"], "secret-upstream 0ns");
    assert_eq!(ask(&app, "/").await.headers()["x-why"], "secret-upstream Open");
}

#[tokio::test]
async fn a_handler_that_is_cut_off_is_a_failure_and_may_have_done_something() {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::builder("slow").trip(Trip::consecutive_failures(1)).clock(clock).build().unwrap();
    let app = routes().layer(HttpLayer::server(breaker.clone()).timeout(Duration::from_secs(2)));
    let asked = tokio::spawn(async move { ask(&app, "/wait").await });
    tokio::task::yield_now().await;
    time.advance(Duration::from_secs(2));

    let response = asked.await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert!(!response.headers().contains_key(RETRY_AFTER));
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    assert!(text(response).await.contains(r#""status":504"#));
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn a_limit_for_one_caller_does_not_close_the_service_to_the_others() {
    let (breaker, _) = breaker(1);
    let app = routes().layer(HttpLayer::server(breaker.clone()));
    for _ in 0..1000 {
        assert_eq!(ask(&app, "/limited").await.status(), StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(totals(&breaker), [0, 0, 1000, 0]);
}

#[tokio::test]
async fn a_service_that_asks_for_time_gets_it() {
    let (breaker, _) = breaker(1);
    let app = routes().layer(HttpLayer::server(breaker.clone()));
    assert_eq!(ask(&app, "/away").await.headers()[RETRY_AFTER], "60");
    assert_eq!(ask(&app, "/").await.headers()[RETRY_AFTER], "60");
}

#[tokio::test]
async fn what_callers_do_wrong_never_trips() {
    let (breaker, _) = breaker(1);
    let app = routes().layer(HttpLayer::server(breaker.clone()));
    for _ in 0..300 {
        assert_eq!(ask(&app, "/nowhere").await.status(), StatusCode::NOT_FOUND);
        assert_eq!(send(&app, Method::DELETE, "/").await.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(ask(&app, "/status/not-a-number").await.status(), StatusCode::BAD_REQUEST);
        assert_eq!(ask(&app, "/status/422").await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(totals(&breaker), [1200, 0, 0, 0]);
}

#[tokio::test]
async fn each_route_can_have_a_breaker_of_its_own() {
    let routes_of = Keyed::<String>::builder("routes")
        .settings(Settings::new().trip(Trip::consecutive_failures(1)))
        .build()
        .unwrap();
    let route = |request: &Request| {
        request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default()
    };
    let app = routes().layer(HttpLayer::server_keyed(routes_of.clone(), route));

    assert_eq!(ask(&app, "/status/500").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(ask(&app, "/status/200").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask(&app, "/").await.status(), StatusCode::OK);
    assert_eq!(routes_of.peek("/status/{status}").unwrap().state(), State::Open);
}

#[tokio::test]
async fn the_answer_to_a_rejection_can_be_the_users_own() {
    let (breaker, _) = breaker(1);
    let respond = |rejected: Rejected| {
        let mut response = http::Response::new(GuardedBody::<Body>::written("closed for today".into()));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        if let (RejectReason::Open, Some(wait)) = (rejected.reason(), rejected.retry_after()) {
            response.headers_mut().insert(RETRY_AFTER, retry_after::value(wait));
        }
        response
    };
    let app = routes().layer(HttpLayer::server(breaker).reject_with(respond));
    ask(&app, "/status/500").await;
    let response = ask(&app, "/").await;
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(response.headers()[RETRY_AFTER], OPEN.as_secs().to_string());
    assert_eq!(text(response).await, "closed for today");
}

#[tokio::test]
async fn a_handlers_body_that_breaks_off_is_a_failure() {
    let (breaker, _) = breaker(1);
    let broken = async || {
        let parts = [Ok("hel"), Err(std::io::Error::other("disk"))];
        Body::from_stream(futures_util::stream::iter(parts))
    };
    let app = Router::new().route("/", get(broken)).layer(HttpLayer::server(breaker.clone()));
    let response = ask(&app, "/").await;
    assert_eq!((response.status(), breaker.state()), (StatusCode::OK, State::Closed));
    response.into_body().collect().await.unwrap_err();
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test]
async fn a_caller_who_leaves_is_nobodys_failure() {
    let (breaker, _) = breaker(1);
    let app = routes().layer(HttpLayer::server(breaker.clone()));
    // Before the head: it says nothing. After it: the service did its part.
    let mut call = Box::pin(ask(&app, "/wait"));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(call);
    drop(ask(&app, "/").await);
    assert_eq!(totals(&breaker), [1, 0, 1, 1]);
}

#[tokio::test]
async fn the_users_word_holds_on_the_server_side_too() {
    let (breaker, _) = breaker(1);
    let layer = HttpLayer::server(breaker.clone()).judge(|head| match head.status() {
        StatusCode::NOT_IMPLEMENTED => Verdict::Success.into(),
        _ => head.usual(),
    });
    let app = routes().layer(layer);
    ask(&app, "/status/501").await;
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn it_fits_services_without_axum() {
    let (breaker, _) = breaker(1);
    let fail = service_fn(async |_: http::Request<()>| {
        Ok::<_, Infallible>(crate::scripted::response(500, Full::new(bytes::Bytes::new())))
    });
    let mut service = HttpLayer::server(breaker).layer(fail);
    let mut statuses = Vec::new();
    let mut headers = HeaderMap::new();
    for _ in 0..2 {
        let response = service.ready().await.unwrap().call(http::Request::new(())).await.unwrap();
        statuses.push(response.status().as_u16());
        headers = response.headers().clone();
    }
    assert_eq!(statuses, [500, 503]);
    assert_eq!(headers[RETRY_AFTER], "10");
}
