//! Three dependencies fail one by one and come back, and every decision is printed as it changes.
//!
//! `cargo run -p mainstay --example degradation`

use std::error::Error;
use std::time::Duration;

use mainstay::breaker::{Breaker, OpenFor, State};
use mainstay::degrade::{DegradationManager, ExecutionMode};
use mainstay::{Clock, Mainstay};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Time is moved by hand, so that the hour that all of this takes is over at once.
    let (clock, time) = Clock::manual();
    let open_for = OpenFor::fixed(Duration::from_secs(60));

    let mainstay = Mainstay::builder("orchestrator")
        .clock(clock)
        .dependency("llm_service", move |breaker| breaker.open_for(open_for), |check| check.non_critical())
        .dependency("redis", move |breaker| breaker.open_for(open_for), |check| check.critical())
        .dependency("database", move |breaker| breaker.open_for(open_for), |check| check.critical())
        .build()?;
    mainstay.start()?;

    let degrade = mainstay.degradation();
    show(degrade, "all is well").await;
    for breaker in mainstay.breakers() {
        fail(&breaker);
        show(degrade, &format!("{} fails", breaker.name())).await;
    }

    time.advance(Duration::from_secs(60));
    for breaker in mainstay.breakers() {
        while breaker.state() != State::Closed {
            breaker.call(|| Ok::<_, String>(()))?;
        }
    }
    show(degrade, "all three are back: held, so that it does not flap").await;
    time.advance(Duration::from_secs(30));
    show(degrade, "half a minute later").await;
    Ok(())
}

fn fail(breaker: &Breaker) {
    for _ in 0..5 {
        let _ = breaker.call(|| Err::<(), _>("connection refused"));
    }
}

async fn show(degrade: &DegradationManager, happens: &str) {
    // Whoever watches has its turn.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let assessment = degrade.assessment();
    println!("\n{happens}\n  level            {}", assessment.level);
    for cause in &assessment.causes {
        println!("    because        {cause}");
    }
    let mode = degrade.mode(ExecutionMode::Complex);
    println!(
        "  complex work     runs {:?}{}",
        mode.granted,
        if mode.downgraded { " (downgraded)" } else { "" }
    );
    for operation in ["llm_generation", "complex_workflow", "vector_search", "non_essential_logging"] {
        let decision = degrade.behavior(operation);
        println!("  {operation:<21} {}: {}", decision.behavior, decision.why());
    }
    let partial = degrade.partial("complex");
    println!("  partial results  {} of 10 parts are enough", partial.required(10));
}
