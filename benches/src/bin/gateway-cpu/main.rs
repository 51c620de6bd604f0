//! What all of Mainstay adds to a gateway's CPU time for a request.
//!
//! The gateway is a process of its own, an axum server that forwards requests to another process over HTTP; this one asks it over loopback, on
//! connections that are kept. `cargo run -p mainstay-benches --release --bin gateway-cpu`; `--quick` for a smoke run.

#![forbid(unsafe_code)]

mod app;
mod counted;
mod load;
mod page;
mod server;
mod variant;

use std::process::ExitCode;

use mainstay_benches::budget;
use mainstay_benches::call::Failure;
use mainstay_benches::{instructions, machine};

use crate::load::Client;
use crate::page::Page;
use crate::server::{Gateway, Upstream};
use crate::variant::Variant;

/// How much is asked.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    /// Requests of a variant in a round, half of them after those of the others and half before.
    requests: u64,
    quick: bool,
}

/// Connections that are kept, each with a request at a time.
const CONNECTIONS: usize = 16;

/// What one variant took in a round.
#[derive(Clone, Copy, Default)]
struct Took {
    /// Microseconds of CPU time for a request: of user and kernel, of all threads.
    cpu: f64,
    /// Microseconds until the answer is there.
    p99: f64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", variant, upstream] => server::serve(variant, upstream).map(|()| true),
        ["upstream"] => server::upstream().map(|()| true),
        ["one", variant, calls] => counted::one(variant, calls).map(|()| true),
        [] => report(Effort { rounds: 31, requests: 8_000, quick: false }),
        ["--quick"] => report(Effort { rounds: 5, requests: 1_000, quick: true }),
        _ => Err("usage: gateway [--quick]".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::from(2)
        }
    }
}

fn report(effort: Effort) -> Result<bool, Failure> {
    instructions::ready()?;
    let load = machine::load();
    let upstream = Upstream::start()?;
    let client = Client::new(CONNECTIONS)?;
    let mut rounds = Vec::with_capacity(effort.rounds);
    for turn in 0..effort.rounds {
        let took = round(&client, &upstream, effort, turn)?;
        let [none, .., all] = took;
        eprintln!(
            "round {}: {:.1} µs without, {:.1} µs with all: {:.3}",
            turn + 1,
            none.cpu,
            all.cpu,
            all.cpu / none.cpu
        );
        rounds.push(took);
    }
    let executed = instructions::measure(&Variant::ALL.map(|variant| variant.as_str().to_owned()))?;
    let page = Page::new(effort, load, &rounds, &executed);
    print!("{}", page.text());
    Ok(effort.quick || budget::kept(page.budgets()))
}

/// Every variant twice, in an order and in the opposite one. The gateways are new in each round, because two processes of the same program
/// differ by where their memory happens to lie, for as long as they live.
fn round(
    client: &Client,
    upstream: &Upstream,
    effort: Effort,
    turn: usize,
) -> Result<[Took; Variant::ALL.len()], Failure> {
    let mut order: Vec<usize> = (0..Variant::ALL.len()).collect();
    order.rotate_left(turn % Variant::ALL.len());
    let mut gateways = Vec::new();
    for variant in Variant::ALL {
        let gateway = Gateway::start(variant, upstream)?;
        client.ask(gateway.addr(), effort.requests / 8)?;
        gateways.push(gateway);
    }
    let mut took = [Took::default(); Variant::ALL.len()];
    for &at in order.iter().chain(order.iter().rev()) {
        let (Some(gateway), Some(took)) = (gateways.get_mut(at), took.get_mut(at)) else { continue };
        let before = gateway.cpu()?;
        let asked = client.ask(gateway.addr(), effort.requests / 2)?;
        let cpu = gateway.cpu()?.saturating_sub(before);
        took.cpu += cpu.as_secs_f64() * 1e6 / asked.answered as f64 / 2.0;
        took.p99 += asked.p99.as_secs_f64() * 1e6 / 2.0;
    }
    Ok(took)
}
