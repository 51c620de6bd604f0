//! OpenAI's own client.

use crate::stack::{Apart, Stores, Up};
use crate::support::token;
use crate::tools;

const LIMITS: (&str, &str) = ("RATE_LIMITS", "max:1000000:10000000:100000000,free:100000:5:100000");

fn check(gateway: std::net::SocketAddr) {
    let (token, free) = (token("ann", "max"), token("fred", "free"));
    let url = format!("http://{gateway}/v1");
    tools::python("openai_client.py", &[("URL", &url), ("TOKEN", &token), ("FREE_TOKEN", &free)]);
}

#[test]
fn openais_client_gets_what_it_gets_from_openai_on_embedded_stores() {
    let mut stack = Up::start(Stores::Embedded, &[LIMITS]);
    check(stack.gateway);
    stack.program.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn openais_client_gets_what_it_gets_from_openai_on_a_redis_and_a_postgresql() {
    let mut stack = Apart::start(1, 1, &[LIMITS]).await;
    check(stack.gateways[0].address);
    for service in stack.gateways.iter_mut().chain(&mut stack.orchestrators) {
        service.program.end();
    }
}
