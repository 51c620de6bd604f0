//! The orchestrator as a program: it reads its environment, says where it listens, and ends gracefully at SIGTERM or SIGINT, at
//! once at a second one.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use mainstay::config::{EX_CONFIG, Environment};
use metrics_exporter_prometheus::PrometheusBuilder;
use orchestrator::{Settings, start};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let log = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_writer(io::stderr).with_env_filter(log).init();
    let settings = match Settings::load(&Environment::from_process()) {
        Ok(settings) => settings,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(EX_CONFIG);
        }
    };
    match run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> Result<(), Box<dyn Error>> {
    let metrics = PrometheusBuilder::new().install_recorder()?;
    // Samples are kept until somebody tidies up, also if nobody ever asks for them.
    let tidied = metrics.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            tidied.run_upkeep();
        }
    });
    let running = start(settings.with_metrics(metrics).with_signals()).await?;
    println!("orchestrator listens on http://{}", running.address());
    println!("orchestrator admin on http://{}", running.admin_address());
    running.ended().await;
    Ok(())
}
