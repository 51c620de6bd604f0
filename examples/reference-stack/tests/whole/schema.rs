//! Schemathesis against what the gateway says about itself.

use std::path::Path;
use std::process::Command;

use crate::stack::Apart;
use crate::support::token;
use crate::tools::{in_venv, text};

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let mut stack = Apart::start(1, 1, &[]).await;
    let output = Command::new(in_venv("schemathesis"))
        .arg("--config-file")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway/schemathesis.toml"))
        .arg("run")
        .arg(format!("http://{}/openapi.json", stack.gateways[0].address))
        .args(["--header", &format!("Authorization: Bearer {}", token("ann", "max"))])
        // One worker: Python 3.11 has a bug that several of them find.
        .args(["--max-examples", "30", "--seed", "1", "--workers", "1", "--no-color"])
        // It keeps what it has found in the current directory.
        .current_dir(stack.data.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    stack.gateways[0].program.end();
}
