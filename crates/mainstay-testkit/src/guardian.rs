use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::TestkitError;
use crate::error::During;

/// Outlives us to end a server and to remove its directory when we end without doing so: killed, aborted, or with the
/// server in a static.
///
/// It is a shell that reads from a pipe of which only we have the other end. It is not the server's parent, so it
/// stands in the way of no signal.
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

/// Reads the server's process id, `none` while there is no server, or `done`; acts when the pipe ends without that.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
home=$1 farewell=$2 server=
while read -r word; do
  case $word in
    done) exit 0 ;;
    none) server= ;;
    *) server=$word ;;
  esac
done
if [ -n "$server" ]; then
  if [ "$farewell" = quit ]; then
    kill -QUIT "$server"
    # Children that stand still cannot quit.
    kill -CONT $(grep -ls "^PPid:[[:space:]]$server\$" /proc/[0-9]*/status | tr -dc '0-9\n') "$server"
    tries=0
    # A zombie is what nobody waits for any more: it has ended.
    while kill -0 "$server" && ! grep -qs "^State:.Z" "/proc/$server/status" && [ $tries -lt 80 ]; do
      tries=$((tries + 1))
      sleep 0.1
    done
  fi
  kill -KILL "$server"
fi
rm -rf "$home"
"#;

// === impl Guardian ===

impl Guardian {
    /// Guards a directory, and the server that it is told of.
    pub(crate) fn watch(home: &Path, farewell: Farewell) -> Result<Self, TestkitError> {
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "mainstay-testkit-guardian"])
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

    /// A server runs.
    pub(crate) fn guard(&mut self, server: u32) {
        self.tell(&server.to_string());
    }

    /// It does not run any more. To be said while nobody else can have its id: before it is waited for.
    pub(crate) fn forget(&mut self) {
        self.tell("none");
    }

    fn tell(&mut self, word: &str) {
        if let Some(pipe) = &mut self.shell.stdin {
            // If somebody has killed it, so be it.
            let _ = pipe.write_all(format!("{word}\n").as_bytes());
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.tell("done");
        let _ = self.shell.wait();
    }
}
