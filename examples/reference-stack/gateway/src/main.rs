//! The gateway as a process: load, start, and serve until a signal ends it.

use std::process::ExitCode;

use gateway::{Settings, StartError};
use mainstay::config::EX_CONFIG;
use mainstay::health::Shutdown;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    let settings = match gateway::settings_of_process() {
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

/// A second signal ends it at once; `drain_delay` and `drain_limit` of the settings are the longest that the first one takes.
async fn run(settings: Settings) -> Result<(), StartError> {
    let running = gateway::start_until(settings, Shutdown::on_signals).await?;
    println!("gateway listens on http://{}", running.addr);
    println!("gateway admin on http://{}", running.admin_addr);
    running.ended().await;
    Ok(())
}
