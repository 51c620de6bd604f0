//! Settings that follow their files.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use mainstay_config::{Change, FileWatch, Fingerprint, Loaded, Loader, SettingErrors};
use mainstay_core::{Bell, ConfigError, NoRuntime, Watch, panics};
use mainstay_health::{Check, CheckOutcome, Pushed, Status};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, spawn_blocking};

use crate::Mainstay;

/// Keeps the settings of a running program those of its files and variables: all of a change, or nothing of it.
///
/// While what the files say is refused, the settings that were in force stay so; and the check `settings` of the health manager is
/// degraded, the log says why, and with the feature `metrics` a gauge says so, until it is mended.
///
/// ```no_run
/// use mainstay::config::{Environment, Loader};
/// use mainstay::{Mainstay, Reloader};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let loader = Loader::new().file("mainstay.yaml").environment(Environment::from_process());
/// let loaded = loader.load()?;
/// let mainstay = Mainstay::from_settings("orders", loaded.settings()).build()?;
/// mainstay.start()?;
/// let reloader = Reloader::new(&mainstay, loader, loaded)?;
/// let following = reloader.follow()?;             // until it is dropped
/// # drop(following);
/// # Ok(())
/// # }
/// ```
///
/// Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Reloader {
    shared: Arc<Shared>,
}

struct Shared {
    mainstay: Mainstay,
    loader: Loader,
    /// What the health manager is told.
    health: Pushed,
    /// Held by who reloads, from reading to putting in force: what was read later is in force later.
    turn: Mutex<()>,
    state: Mutex<State>,
    bell: Arc<Bell>,
}

struct State {
    loaded: Arc<Loaded>,
    reloads: u64,
    refused: u64,
    wrong: Option<Arc<ReloadError>>,
}

/// How it stands with the settings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReloadStatus {
    /// That of the settings in force.
    pub fingerprint: Fingerprint,
    /// How often other settings were put in force.
    pub reloads: u64,
    /// How often what the files said was refused.
    pub refused: u64,
    /// Why what the files say now is not in force, if it is not.
    pub wrong: Option<Arc<ReloadError>>,
}

/// Why settings were not put in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// Files or variables are wrong.
    #[error(transparent)]
    Settings(#[from] SettingErrors),
    /// They do not fit the running program.
    #[error(transparent)]
    Refused(#[from] ConfigError),
    /// What reads the program's own section panicked.
    #[error("reading the settings panicked: {0}")]
    Panicked(String),
}

/// Files are followed while this lives.
#[must_use = "files are followed while this lives"]
pub struct Following {
    task: AbortHandle,
    ended: Arc<AtomicBool>,
    /// Kept, so that there is something to follow for.
    _shared: Arc<Shared>,
}

/// How often files are looked at. A change is in force after two looks that find the same.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Reloader {
    /// For a program that was made [from settings](Mainstay::from_settings), which `loader` loaded. Adds the check `settings` to the
    /// health manager.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] if there is a check of that name, if the program was not made from settings, and if another `Reloader` follows
    /// files for it.
    pub fn new(mainstay: &Mainstay, loader: Loader, loaded: Loaded) -> Result<Self, ConfigError> {
        let refuse = |rule| Err(ConfigError::new("settings", "a Reloader", rule));
        let Some(live) = &mainstay.live else { return refuse("must be for a program made from settings") };
        if live.followed.swap(true, Ordering::AcqRel) {
            return refuse("must be the only one");
        }
        let health = Pushed::new();
        health.set(Status::Healthy);
        let check = Check::internal("settings", &health).non_critical();
        if let Err(refused) = mainstay.health().register(check) {
            live.followed.store(false, Ordering::Release);
            return Err(refused);
        }
        log_warnings(&loaded);
        let state = State { loaded: Arc::new(loaded), reloads: 0, refused: 0, wrong: None };
        let mainstay = mainstay.clone();
        let (turn, state, bell) = (Mutex::default(), Mutex::new(state), Bell::new());
        Ok(Self { shared: Arc::new(Shared { mainstay, loader, health, turn, state, bell }) })
    }

    /// Reads files and variables, and puts what they say in force if it is different. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// Everything that is wrong; the settings that were in force stay so.
    pub fn reload(&self) -> Result<Vec<Change>, Arc<ReloadError>> {
        self.shared.reload()
    }

    /// What is loaded, with the origin of each value and the program's own sections.
    pub fn loaded(&self) -> Arc<Loaded> {
        self.shared.state().loaded.clone()
    }

    /// How it stands.
    pub fn status(&self) -> ReloadStatus {
        let state = self.shared.state();
        let State { reloads, refused, .. } = *state;
        ReloadStatus { fingerprint: state.loaded.fingerprint(), reloads, refused, wrong: state.wrong.clone() }
    }

    /// Reports when other settings are in force or the program's own sections are others, and when some were refused.
    pub fn watch(&self) -> Watch {
        self.shared.bell.watch()
    }

    /// Reloads from now on whenever a file has changed, within a second, and on Unix whenever the process gets `SIGHUP`.
    ///
    /// # Errors
    ///
    /// [`NoRuntime`] outside of a tokio runtime.
    pub fn follow(&self) -> Result<Following, NoRuntime> {
        let runtime = Handle::try_current().map_err(|_| NoRuntime::new())?;
        let watch = FileWatch::new(self.shared.loader.files());
        // Before anybody may send one.
        let hangups = Hangups::new();
        let ended = Arc::new(AtomicBool::new(false));
        let task = runtime.spawn(follow(Arc::downgrade(&self.shared), watch, hangups, ended.clone()));
        Ok(Following { task: task.abort_handle(), ended, _shared: self.shared.clone() })
    }

    /// Says to the recorder of the [`metrics`] crate how it stands: `mainstay_config_fingerprint` (a number that is the same
    /// for the same settings), `mainstay_config_valid` (1, or 0 while what the files say is refused), and
    /// `mainstay_config_reloads_total` by `outcome`: `applied`, `refused`.
    #[cfg(feature = "metrics")]
    pub fn publish(&self) {
        use metrics::{counter, gauge};
        let status = self.status();
        gauge!("mainstay_config_fingerprint").set(status.fingerprint.as_f64());
        gauge!("mainstay_config_valid").set(if status.wrong.is_none() { 1.0 } else { 0.0 });
        counter!("mainstay_config_reloads_total", "outcome" => "applied").absolute(status.reloads);
        counter!("mainstay_config_reloads_total", "outcome" => "refused").absolute(status.refused);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reload(&self) -> Result<Vec<Change>, Arc<ReloadError>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.state().loaded.clone();
        let load = || -> Result<Loaded, ReloadError> {
            let loaded = self.loader.load()?;
            if loaded.files_are_empty() {
                let rule = "must not be emptied while the program runs";
                return Err(ConfigError::new("settings", "an empty file", rule).into());
            }
            self.mainstay.put(loaded.settings())?;
            Ok(loaded)
        };
        // What reads the program's own section is the program's.
        let applied = catch_unwind(AssertUnwindSafe(load))
            .unwrap_or_else(|panic| Err(ReloadError::Panicked(panics::text(panic))));
        match applied {
            Ok(loaded) => {
                let changes = before.diff(&loaded);
                let own = before.sections_differ(&loaded);
                log_own(&own);
                log_warnings(&loaded);
                log_applied(loaded.fingerprint(), &changes);
                let mut state = self.state();
                state.reloads += u64::from(!changes.is_empty() || !own.is_empty());
                let was_wrong = std::mem::take(&mut state.wrong).is_some();
                state.loaded = Arc::new(loaded);
                drop(state);
                self.health.set(Status::Healthy);
                if was_wrong || !changes.is_empty() || !own.is_empty() {
                    self.bell.ring();
                }
                Ok(changes)
            }
            Err(wrong) => {
                let wrong = Arc::new(wrong);
                log_refused(&wrong);
                let mut state = self.state();
                state.refused += 1;
                state.wrong = Some(wrong.clone());
                drop(state);
                let message = "what the files say is refused: the settings before it are in force";
                self.health.set(CheckOutcome::degraded(message));
                self.bell.ring();
                Err(wrong)
            }
        }
    }
}

async fn follow(shared: Weak<Shared>, mut watch: FileWatch, mut hangups: Hangups, ended: Arc<AtomicBool>) {
    // What changed since they were loaded, and before they were watched.
    let mut asked = true;
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        asked |= tokio::select! {
            _ = tick.tick() => false,
            () = hangups.next() => true,
        };
        let (reads, ended) = (shared.clone(), ended.clone());
        // Files may be far away.
        let looked = spawn_blocking(move || {
            asked |= watch.look();
            // What is being written is not read in the middle, whoever asks.
            if asked && watch.rests() && !ended.load(Ordering::Acquire) {
                asked = false;
                // What is wrong is logged, and in the report.
                let _ = reads.upgrade().map(|shared| shared.reload());
            }
            (watch, asked)
        });
        let Ok(looked) = looked.await else { return };
        (watch, asked) = looked;
        if shared.strong_count() == 0 {
            return;
        }
    }
}

/// `SIGHUP`, where there is such a thing, and the runtime can receive it.
struct Hangups {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    #[cfg(unix)]
    fn new() -> Self {
        use std::panic::catch_unwind;
        use tokio::signal::unix::{SignalKind, signal};
        // Without I/O in the runtime, tokio panics.
        Self { signal: catch_unwind(|| signal(SignalKind::hangup()).ok()).ok().flatten() }
    }

    #[cfg(not(unix))]
    fn new() -> Self {
        Self {}
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}

#[cfg(feature = "tracing")]
fn log_applied(fingerprint: Fingerprint, changes: &[Change]) {
    if changes.is_empty() {
        return;
    }
    for change in changes {
        tracing::info!(name: "settings_changed", target: "mainstay", %change, "a setting changed");
    }
    let changes = changes.len();
    tracing::info!(name: "settings_reloaded", target: "mainstay", %fingerprint, changes, "other settings are in force");
}

/// Of the program's own sections the paths alone: they may be secrets.
#[cfg(feature = "tracing")]
fn log_own(own: &[String]) {
    for path in own {
        tracing::info!(name: "settings_changed", target: "mainstay", change = path.as_str(), "a setting of the program's own changed");
    }
}

#[cfg(feature = "tracing")]
fn log_warnings(loaded: &Loaded) {
    for warning in loaded.warnings() {
        tracing::warn!(name: "settings_warning", target: "mainstay", %warning, "perhaps not what was meant");
    }
}

#[cfg(feature = "tracing")]
fn log_refused(wrong: &ReloadError) {
    tracing::error!(name: "settings_refused", target: "mainstay", error = %wrong, "the settings before are in force");
}

#[cfg(not(feature = "tracing"))]
fn log_applied(_: Fingerprint, _: &[Change]) {}

#[cfg(not(feature = "tracing"))]
fn log_own(_: &[String]) {}

#[cfg(not(feature = "tracing"))]
fn log_warnings(_: &Loaded) {}

#[cfg(not(feature = "tracing"))]
fn log_refused(_: &ReloadError) {}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(live) = &self.mainstay.live {
            live.followed.store(false, Ordering::Release);
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.task.abort();
    }
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following").finish_non_exhaustive()
    }
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("status", &self.status()).finish_non_exhaustive()
    }
}
