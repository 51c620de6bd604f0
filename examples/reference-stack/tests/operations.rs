//! Every command of `docs/operations` is run: those that say `while` while that is so, and each page in its order.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is the point"
)]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mainstay_testkit::{PostgresServer, RedisServer};
use serde_json::{Value, json};
use support::{JWT_SECRET, PATIENCE, Program, secret, token, until};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, timeout};

type Variables = BTreeMap<String, String>;

const ADMIN_TOKEN: &str = "operators-token-77b2c1e0";

/// A fenced block of a page.
struct Block {
    line: usize,
    /// While what is it run, if it is not always.
    during: Option<String>,
    code: String,
}

struct Stack {
    redis: RedisServer,
    postgres: PostgresServer,
    agents: SocketAddr,
    model: SocketAddr,
    gateway: SocketAddr,
    /// What the commands are given.
    variables: Variables,
    _programs: Vec<Program>,
    data: tempfile::TempDir,
}

fn pages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations")
}

/// The blocks that are marked `sh`; those marked `text` are passed over, and there are no others.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = (1..).zip(page.lines());
    while let Some((line, text)) = lines.next() {
        let Some(kind) = text.strip_prefix("```") else { continue };
        let inside = lines.by_ref().map(|(_, text)| text).take_while(|text| *text != "```");
        let code: String = inside.map(|text| format!("{text}\n")).collect();
        let during = match kind {
            "text" => continue,
            "sh" => None,
            kind => Some(kind.strip_prefix("sh while ").expect("a block of sh or text").to_owned()),
        };
        blocks.push(Block { line, during, code });
    }
    blocks
}

fn start(name: &str, variables: &Variables) -> (Program, SocketAddr, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-stack"));
    command.args(["service", name]);
    let mut program = Program::start(command, variables);
    let mut place =
        |what: &str| program.says(&format!("{name} {what} ")).trim_start_matches("http://").parse().unwrap();
    let (address, admin) = (place("listens on"), place("admin on"));
    (program, address, admin)
}

/// A database of the stack's own; where it is.
fn database(postgres: &PostgresServer) -> String {
    let server = postgres.url();
    let command = ["psql", &server, "-c", "CREATE DATABASE stack"];
    let created = Command::new(command[0]).args(&command[1..]).output().unwrap();
    assert!(created.status.success(), "{created:?}");
    let (server, _) = server.rsplit_once('/').unwrap();
    format!("{server}/stack")
}

/// The commands of a block, each in a line.
fn commands(code: &str) -> Vec<String> {
    code.replace("\\\n", " ").lines().map(str::to_owned).collect()
}

impl Stack {
    /// With times that are short, so that what is over is over soon.
    async fn start() -> Self {
        let (redis, postgres) =
            block_in_place(|| (RedisServer::start().unwrap(), PostgresServer::start().unwrap()));
        let (database, data) = (database(&postgres), tempfile::tempdir().unwrap());
        let mut all = Variables::new();
        let mut put = |name: &str, value: &str| _ = all.insert(name.to_owned(), value.to_owned());
        for service in ["AGENT_CORE", "LLM_SERVICE", "ORCHESTRATOR", "GATEWAY"] {
            put(&format!("{service}_LISTEN"), "127.0.0.1:0");
            put(&format!("{service}_ADMIN_LISTEN"), "127.0.0.1:0");
        }
        put("JWT_SECRET", &secret(JWT_SECRET));
        put("ADMIN_TOKEN", &secret(ADMIN_TOKEN));
        put("RATE_LIMITS", "max:1000000:10000000:100000000");
        put("REDIS_URL", &redis.url());
        put("DATABASE_URL", &database);
        put("AGENT_TIMEOUT", "1s");
        let agents = start("agent-core", &all);
        let model = start("llm-service", &all);
        let mut put = |name: &str, value: &str| _ = all.insert(name.to_owned(), value.to_owned());
        put("AGENT_CORE_URL", &format!("http://{}", agents.1));
        put("LLM_URL", &format!("http://{}/v1", model.1));
        put("LLM_HEALTH_URL", &format!("http://{}/health", model.1));
        put("MAINSTAY__DEGRADATION__RELAX_AFTER", "1s");
        // A slow machine is no outage.
        for level in ["MINOR", "MODERATE", "SEVERE"] {
            put(&format!("MAINSTAY__DEGRADATION__THRESHOLDS__{level}__LATENCY_THRESHOLD_MS"), "0");
        }
        for name in ["REDIS", "DATABASE", "GRPC"] {
            put(&format!("MAINSTAY__CIRCUIT_BREAKERS__{name}__TIMEOUT"), "2s");
        }
        // A database's check waits for a connection as long as its pool does.
        for (name, interval, limit) in [("REDIS", "1s", "900ms"), ("DATABASE", "3s", "2500ms")] {
            put(&format!("MAINSTAY__HEALTH__CHECKS__{name}__INTERVAL"), interval);
            put(&format!("MAINSTAY__HEALTH__CHECKS__{name}__TIMEOUT"), limit);
        }
        let own = |name: &str| {
            let mut own = all.clone();
            let place = data.path().join(name);
            std::fs::create_dir_all(&place).unwrap();
            own.insert("DATA_DIR".to_owned(), place.display().to_string());
            own
        };
        let mut told = own("orchestrator");
        told.insert("MAINSTAY__CIRCUIT_BREAKERS__LLM_SERVICE__TIMEOUT".to_owned(), "2s".to_owned());
        let orchestrator = start("orchestrator", &told);
        let mut told = own("gateway");
        told.insert("ORCHESTRATORS".to_owned(), format!("http://{}", orchestrator.1));
        let gateway = start("gateway", &told);

        let url = |addr: SocketAddr| format!("http://{addr}");
        let variables = [
            ("GATEWAY", url(gateway.1)),
            ("GATEWAY_ADMIN", url(gateway.2)),
            ("ORCHESTRATOR_ADMIN", url(orchestrator.2)),
            ("AGENTS_ADMIN", url(agents.2)),
            ("LLM_ADMIN", url(model.2)),
            ("TOKEN", token("ann", "max")),
            ("ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
            ("REDIS_URL", redis.url()),
            ("DATABASE_URL", database),
        ];
        let ready = format!("http://{}/readyz", gateway.2);
        until("the gateway is ready", || async {
            reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        Self {
            redis,
            postgres,
            agents: agents.2,
            model: model.2,
            gateway: gateway.1,
            variables: variables.map(|(name, value)| (name.to_owned(), value)).into(),
            _programs: vec![gateway.0, orchestrator.0, model.0, agents.0],
            data,
        }
    }

    /// Users who go on whatever happens: breakers learn by calls.
    async fn callers(gateway: SocketAddr) {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        let token = token("bob", "max");
        for turn in 0_u64.. {
            let mode = if turn.is_multiple_of(2) { "simple" } else { "complex" };
            let text = format!("What of the sea, {turn}?");
            let body = json!({ "model": "reference", "messages": [{ "role": "user", "content": text }] });
            let request = client
                .post(format!("http://{gateway}/v1/chat/completions"))
                .bearer_auth(&token)
                .header("x-execution-mode", mode)
                .header("x-session-id", "of-bob")
                .json(&body);
            tokio::spawn(request.send());
            sleep(Duration::from_millis(300)).await;
        }
    }

    async fn faults(&self, admin: SocketAddr, switches: Value) {
        let client = reqwest::Client::new();
        let turned = client.put(format!("http://{admin}/faults")).json(&switches).send().await.unwrap();
        assert!(turned.status().is_success(), "{turned:?}");
    }

    /// Makes it so, or, with `false`, not any more.
    async fn outage(&mut self, what: &str, so: bool) {
        let everything = what == "everything is down";
        let mut known = everything;
        if everything || what == "redis is killed" {
            known = true;
            block_in_place(|| if so { self.redis.kill() } else { self.redis.restart() }).unwrap();
        }
        if everything || what == "postgres is killed" {
            known = true;
            block_in_place(|| if so { self.postgres.kill() } else { self.postgres.restart() }).unwrap();
        }
        if what == "redis is stopped" {
            known = true;
            block_in_place(|| if so { self.redis.stop() } else { self.redis.resume() }).unwrap();
        }
        if what == "postgres is stopped" {
            known = true;
            block_in_place(|| if so { self.postgres.stop() } else { self.postgres.resume() }).unwrap();
        }
        if everything || what == "the agents hang" {
            known = true;
            self.faults(self.agents, json!({ "hang": so })).await;
        }
        if everything || what == "the language model fails" {
            known = true;
            // Each second call is enough.
            let rate = if everything { 0.9 } else { 0.5 };
            self.faults(self.model, json!({ "error_rate": if so { rate } else { 0.0 } })).await;
        }
        assert!(known, "nobody knows how to do that {what}");
    }

    /// Runs a block as a shell does that takes no failure. What it said, if it failed.
    async fn run(&self, code: &str, within: Duration) -> Result<(), String> {
        // A command that must fail ends the shell if it does not; by itself `!` would not.
        let lines = code.lines().map(|line| match line.strip_prefix("! ") {
            Some(command) => format!("( ! {command}\n)\n"),
            None => format!("{line}\n"),
        });
        let ours = ["PATH", "HOME"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let output = tokio::process::Command::new("bash")
            .args(["-e", "-o", "pipefail", "-c", &lines.collect::<String>()])
            .env_clear()
            .envs(ours)
            .envs(&self.variables)
            .current_dir(self.data.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let Ok(output) = timeout(within, output).await else { return Err("it does not end".to_owned()) };
        let output = output.unwrap();
        let said = [output.stdout, output.stderr].concat();
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&said))),
        }
    }

    /// Runs what a page says, in its order.
    async fn follow(&mut self, name: &str, page: &str) {
        let mut during: Option<String> = None;
        for block in blocks(page) {
            if block.during != during {
                if let Some(over) = during.take() {
                    self.outage(&over, false).await;
                }
                if let Some(begins) = &block.during {
                    self.outage(begins, true).await;
                }
                during = block.during.clone();
            }
            // What an outage looks like it looks like soon, not at once.
            let deadline = Instant::now() + PATIENCE;
            let mut ran = self.run(&block.code, PATIENCE).await;
            while ran.is_err() && during.is_some() && Instant::now() < deadline {
                sleep(Duration::from_millis(300)).await;
                ran = self.run(&block.code, PATIENCE).await;
            }
            if let Err(why) = ran {
                panic!("{name}:{}: {why}\n{}", block.line, block.code);
            }
        }
        if let Some(over) = during {
            self.outage(&over, false).await;
        }
    }
}

/// Runs these pages, one after the other, on a stack of their own: most of it is waiting.
async fn follow_all(these: impl Fn(&str) -> bool) {
    let mut names: Vec<_> = std::fs::read_dir(pages())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md") && these(name))
        .collect();
    names.sort();
    assert!(names.len() >= 2, "{names:?}");
    let mut stack = Stack::start().await;
    let callers = tokio::spawn(Stack::callers(stack.gateway));
    for name in names {
        let page = std::fs::read_to_string(pages().join(&name)).unwrap();
        assert!(!blocks(&page).is_empty(), "{name} has no command");
        let began = Instant::now();
        stack.follow(&name, &page).await;
        eprintln!("{name}: {:.1} s", began.elapsed().as_secs_f64());
    }
    callers.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_runbooks_for_postgresql_does_what_the_page_says() {
    follow_all(|name| name.starts_with("postgres-")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_runbooks_for_redis_does_what_the_page_says() {
    follow_all(|name| name.starts_with("redis-")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_other_runbooks_does_what_the_page_says() {
    follow_all(|name| !name.starts_with("postgres-") && !name.starts_with("redis-")).await;
}

/// `curl` alone is content with any answer, and what is said in passing is run by nobody.
#[test]
fn every_curl_can_fail_and_stands_in_a_block() {
    for entry in std::fs::read_dir(pages()).unwrap() {
        let path = entry.unwrap().path();
        let page = std::fs::read_to_string(&path).unwrap();
        assert!(!page.contains("`curl "), "{} has a command in its text", path.display());
        for block in blocks(&page) {
            for command in commands(&block.code).iter().filter(|command| command.contains("curl -")) {
                let can_fail = command.contains("curl -sSf ") || command.contains("| grep ");
                assert!(can_fail, "{}:{}: {command}", path.display(), block.line);
            }
        }
    }
}

#[test]
fn the_index_names_every_page() {
    let index = std::fs::read_to_string(pages().join("README.md")).unwrap();
    for entry in std::fs::read_dir(pages()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || index.contains(&format!("({name})")), "{name} is not in the index");
    }
}
