use std::time::Duration;

use mainstay_health::{ProbeExit, ProbeReply};

use crate::output::Output;

pub(crate) const CODES: &str = "\
Exit codes, those of grpc_health_probe:
  0  it answered, and serves
  1  the arguments make no sense; nothing was asked
  2  no connection, or none in time
  3  the call failed, or had no answer in time
  4  it answered, and does not serve";

/// What is asked.
#[derive(clap::Subcommand)]
pub(crate) enum Probe {
    /// Asks with GET over plain HTTP/1.1; 200 to 299 serves, any other status does not
    #[command(after_help = format!("\
Examples:
  mainstay probe http http://127.0.0.1:8081/health/ready
  HEALTHCHECK CMD [\"mainstay\", \"probe\", \"http\", \"http://127.0.0.1:8081/health/live\"]

{CODES}"))]
    Http {
        /// The URL, which begins with `http://` and has no credentials
        url: String,
        #[command(flatten)]
        patience: Patience,
    },
    /// Asks the `grpc.health.v1.Health` service, without TLS; SERVING serves, any other status does not
    #[command(after_help = format!("\
Examples:
  mainstay probe grpc 127.0.0.1:50052
  mainstay probe grpc 127.0.0.1:50052 --service orders.v1.Orders --timeout 500ms

{CODES}"))]
    Grpc {
        /// The address: `host:port`, or `http://host:port`
        address: String,
        /// The service that is asked for; the server as a whole if none is given
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        service: String,
        #[command(flatten)]
        patience: Patience,
    },
}

/// How long a probe waits.
#[derive(clap::Args)]
pub(crate) struct Patience {
    /// How long to wait for the answer, and before that for the connection: a duration with a unit, such as 500ms
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    timeout: Duration,
    /// How long to wait for the connection, if not as long as for the answer
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    connect_timeout: Option<Duration>,
}

impl Probe {
    pub(crate) fn run(&self, output: &mut Output) -> u8 {
        let reply = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let reply = runtime.block_on(self.ask());
                // A name that is still being resolved is not waited for.
                runtime.shutdown_background();
                reply
            }
            Err(error) => ProbeReply::new(
                ProbeExit::ConnectionFailed,
                format_args!("no connection: there is no runtime ({})", error.kind()),
            ),
        };
        match reply.exit {
            ProbeExit::Healthy => output.line(&reply),
            _ => output.complain(&reply),
        }
        reply.exit.code()
    }

    async fn ask(&self) -> ProbeReply {
        match self {
            Probe::Http { url, patience: Patience { timeout: call, connect_timeout } } => {
                let connect = connect_timeout.unwrap_or(*call);
                mainstay_http::health::probe(
                    url,
                    mainstay_http::health::ProbeTimeouts { connect, call: *call },
                )
                .await
            }
            Probe::Grpc { address, service, patience: Patience { timeout: call, connect_timeout } } => {
                let connect = connect_timeout.unwrap_or(*call);
                let timeouts = mainstay_health_grpc::ProbeTimeouts { connect, call: *call };
                mainstay_health_grpc::probe(address, service, timeouts).await
            }
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("expected a duration with a unit, such as 500ms or 2s, longer than zero".to_owned()),
    }
}
