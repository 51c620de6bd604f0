//! The agents as a process: `cargo run -p agent-core`.

use std::io::Write;
use std::process::ExitCode;

use agent_core::Settings;
use mainstay::config::{EX_CONFIG, Environment};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_env_filter(filter).init();
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
            eprintln!("agent-core: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Until a signal asks for the end; a second one ends it at once.
async fn run(settings: Settings) -> Result<(), Box<dyn std::error::Error>> {
    let running = agent_core::start(settings.with_signals()).await?;
    let mut out = std::io::stdout();
    writeln!(out, "agent-core listens on http://{}", running.address())?;
    writeln!(out, "agent-core admin on http://{}", running.admin_address())?;
    running.ended().await;
    Ok(())
}
