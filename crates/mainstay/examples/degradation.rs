//! Three dependencies fail one by one and come back, and every decision is printed as it changes.
//!
//! `cargo run -p mainstay --example degradation`

use std::error::Error;
use std::time::Duration;

use mainstay::breaker::{Breaker, OpenFor};
use mainstay::degrade::{DegradationManager, ExecutionMode};
use mainstay::health::{Check, Pushed, Status, source};
use mainstay::{Clock, Mainstay};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Time is moved by hand, so that the hour that all of this takes is over at once.
    let (clock, time) = Clock::manual();
    let mainstay = Mainstay::with_clock(clock);

    let breaker =
        |name: &str| mainstay.breaker(name).open_for(OpenFor::fixed(Duration::from_secs(60))).build();
    let (redis, llm) = (breaker("redis")?, breaker("llm_service")?);
    let database = Pushed::new();
    let health = mainstay
        .health("orchestrator")
        .check(Check::shared("database", &database).critical())
        .check(Check::shared("redis", source(redis.clone())).non_critical())
        .build()?;
    let degrade = mainstay.degradation().watch(&redis).watch(&llm).watch(&health).build()?;
    health.start()?;
    degrade.start()?;
    database.set(Status::Healthy);
    show(&degrade, "all is well").await;

    fail(&llm);
    show(&degrade, "the LLM service fails").await;
    fail(&redis);
    show(&degrade, "Redis fails too").await;
    database.set(Status::Unhealthy);
    show(&degrade, "and the database").await;

    database.set(Status::Healthy);
    time.advance(Duration::from_secs(60));
    for breaker in [&redis, &llm] {
        while breaker.call(|| Ok::<_, String>(())).is_ok()
            && breaker.state() != mainstay::breaker::State::Closed
        {}
    }
    show(&degrade, "all three are back: held, so that it does not flap").await;
    time.advance(Duration::from_secs(30));
    show(&degrade, "half a minute later").await;
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
    for operation in ["llm_generation", "complex_workflow", "non_essential_logging"] {
        let decision = degrade.behavior(operation);
        println!("  {operation:<16} {}: {}", decision.behavior, decision.why());
    }
    let partial = degrade.partial("complex");
    println!("  partial results  {} of 10 parts are enough", partial.required(10));
}
