use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::TestkitError;
use crate::error::During;

/// Outlives us to end a server when we end without tearing it down: killed, aborted, or with the server in a static.
///
/// It is a shell that reads from a pipe of which only we have the other end. It is not the server's parent, so it stands
/// in the way of no signal.
#[derive(Debug)]
pub(crate) struct Guardian {
    shell: Child,
}

/// How a guardian ends a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Farewell {
    /// At once.
    Kill,
    /// With SIGQUIT, which PostgreSQL passes on to its children and frees its shared memory on; with SIGKILL if that
    /// has not worked after some seconds.
    Quit,
}

const SCRIPT: &str = r#"
trap '' HUP INT TERM
read -r word
[ "$word" = done ] && exit 0
if [ "$3" = quit ]; then
  kill -QUIT "$1"
  # Children that stand still cannot quit.
  kill -CONT $(grep -ls "^PPid:[[:space:]]$1\$" /proc/[0-9]*/status | tr -dc '0-9\n') "$1"
  tries=0
  # A zombie is what nobody waits for any more: it has ended.
  while kill -0 "$1" && ! grep -qs "^State:.Z" "/proc/$1/status" && [ $tries -lt 80 ]; do
    tries=$((tries + 1))
    sleep 0.1
  done
fi
kill -KILL "$1"
rm -rf "$2"
"#;

// === impl Guardian ===

impl Guardian {
    /// Guards a server and its directory.
    pub(crate) fn watch(server: u32, home: &Path, farewell: Farewell) -> Result<Self, TestkitError> {
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "mainstay-testkit-guardian"])
            .arg(server.to_string())
            .arg(home)
            .arg(match farewell {
                Farewell::Kill => "kill",
                Farewell::Quit => "quit",
            })
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of reach of the terminal's Ctrl-C, which ends us.
            .process_group(0)
            .spawn()
            .during(|| "starting /bin/sh".into())?;
        Ok(Self { shell })
    }

    /// The server is dealt with.
    pub(crate) fn dismiss(mut self) {
        if let Some(mut pipe) = self.shell.stdin.take() {
            let _ = pipe.write_all(b"done\n");
        }
        let _ = self.shell.wait();
    }
}
