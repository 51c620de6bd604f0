//! A program of the stack: what it says is kept, and searched for secrets when it has ended.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

/// Everything that was given and must be told to nobody.
static SECRETS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// From now on no program may say this.
pub fn secret(text: &str) -> String {
    SECRETS.lock().unwrap().insert(text.to_owned());
    text.to_owned()
}

/// Fails if there is one in what somebody said.
pub fn no_secret_in(who: &str, said: &str) {
    let secrets = SECRETS.lock().unwrap().clone();
    for line in said.lines() {
        let told = secrets.iter().find(|secret| line.contains(secret.as_str()));
        assert!(told.is_none(), "{who} told the secret {told:?}: {line}");
    }
}

/// A process that ends with the test.
pub struct Program {
    name: String,
    child: Child,
    lines: Receiver<String>,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// Starts it, with these variables and of ours only those by which programs are found.
    pub fn start<'v>(
        mut command: Command,
        variables: impl IntoIterator<Item = (&'v String, &'v String)>,
    ) -> Self {
        let name = command.get_program().to_string_lossy().rsplit('/').next().unwrap().to_owned();
        let ours = ["PATH", "HOME", "TMPDIR"];
        let ours = ours.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut child = command
            .env_clear()
            .envs(ours)
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let said = Arc::new(Mutex::new(String::new()));
        let (tell, lines) = channel();
        let readers = vec![
            read(child.stdout.take().unwrap(), said.clone(), Some(tell)),
            read(child.stderr.take().unwrap(), said.clone(), None),
        ];
        Self { name, child, lines, said, readers }
    }

    /// What follows in the line of its standard output that begins like this. Lines before it are passed over.
    pub fn says(&mut self, beginning: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.trim().to_owned();
            }
        }
        panic!("{} did not say {beginning:?}, but:\n{}", self.name, self.said());
    }

    /// All it has said until now.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.readers.drain(..).for_each(|reader| reader.join().unwrap());
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not end:\n{}", self.name, self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as a platform would; it must end well.
    pub fn end(&mut self) {
        self.signal(Signal::TERM);
        let status = self.ended();
        assert!(status.success(), "{}: {status}\n{}", self.name, self.said());
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        let said = self.said();
        if std::thread::panicking() {
            let lines: Vec<_> = said.lines().collect();
            eprintln!("--- {} said last:\n{}", self.name, lines[lines.len().saturating_sub(20)..].join("\n"));
            return;
        }
        no_secret_in(&self.name, &said);
    }
}

fn read(
    from: impl Read + Send + 'static,
    said: Arc<Mutex<String>>,
    tell: Option<Sender<String>>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            said.lock().unwrap().push_str(&text);
            if let Some(tell) = &tell {
                let _ = tell.send(text.trim_end().to_owned());
            }
            line.clear();
        }
    })
}
