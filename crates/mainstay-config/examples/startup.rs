//! A service that starts only if everything it needs to start is there and right, and else says all that is not, and ends with 78.
//!
//! `JWT_SECRET=... cargo run -p mainstay-config --example startup -- mainstay.yaml`

use std::net::SocketAddr;
use std::process::ExitCode;

use mainstay_config::{EX_CONFIG, Environment, Loaded, Loader, Section, SettingErrors};

/// What the service has in the file beside the library's settings.
struct Gateway {
    listen: SocketAddr,
    orchestrator: String,
}

/// Said once: by this the loader checks, and the program reads.
fn gateway(section: &mut Section) -> Gateway {
    Gateway {
        listen: section.address("listen").required(),
        orchestrator: section.endpoint("orchestrator", &["http", "https"]).required(),
    }
}

fn settings(file: &str, environment: &Environment) -> Result<Loaded, SettingErrors> {
    let loader = Loader::new().file(file).environment(environment.clone());
    let loader = loader.check_section("gateway", |section| _ = gateway(section));
    let mut variables = Section::of_environment(environment);
    // At least 256 bits, as HS256 asks for.
    let _secret = variables.secret("JWT_SECRET", 32).required();
    Ok(SettingErrors::both(loader.load(), variables.finish())?.0)
}

fn main() -> ExitCode {
    let file = std::env::args().nth(1).unwrap_or_else(|| "mainstay.yaml".to_owned());
    match settings(&file, &Environment::from_process()) {
        Ok(loaded) => {
            let Gateway { listen, orchestrator } = gateway(&mut loaded.section("gateway"));
            println!("{listen} -> {orchestrator}, settings {}", loaded.fingerprint());
            ExitCode::SUCCESS
        }
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::from(EX_CONFIG)
        }
    }
}
