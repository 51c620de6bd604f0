//! Settings of a program that runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_breaker::{Breaker, Control, Transition};
use mainstay_config::Settings;
use mainstay_core::{ConfigError, Name};
use mainstay_degrade::DegradationManager;
use mainstay_health::{CheckSettings, HealthManager, Scope};

/// What the program wants to be told of state changes.
pub(crate) type Hook = Arc<dyn Fn(&Transition) + Send + Sync>;

/// What a [`Mainstay`](crate::Mainstay) that was made from settings needs to take others.
#[derive(Debug)]
pub(crate) struct Live {
    /// What code said of each check, below what the settings say.
    own: BTreeMap<Name, Own>,
    /// For each breaker, whether the hook is called.
    hooked: BTreeMap<Name, Arc<AtomicBool>>,
    /// Held by who puts other settings in force.
    turn: Mutex<()>,
    /// The settings in force.
    settings: Mutex<Arc<Settings>>,
    /// A [`Reloader`](crate::Reloader) says which they are.
    pub(crate) followed: AtomicBool,
}

/// A check as code has it.
#[derive(Debug)]
struct Own {
    scope: Scope,
    settings: CheckSettings,
}

impl Live {
    pub(crate) fn new(
        settings: &Settings,
        breakers: &[Breaker],
        health: &HealthManager,
        hook: Option<&Hook>,
    ) -> Result<Self, ConfigError> {
        let mut hooked = BTreeMap::new();
        for breaker in breakers {
            let said = settings.breaker(breaker.name().as_str());
            put(breaker, true, said.enabled);
            let Some(hook) = hook else { continue };
            let is_told = Arc::new(AtomicBool::new(said.on_state_change));
            let (told, hook) = (is_told.clone(), hook.clone());
            let subscribed = breaker.on_transition(move |transition: &Transition| {
                if told.load(Ordering::Relaxed) {
                    hook(transition);
                }
            });
            subscribed.map_err(|error| {
                ConfigError::new("on_state_change", error, "must be able to start a thread")
            })?;
            hooked.insert(breaker.name(), is_told);
        }
        let own = own(health);
        same_checks(settings, &own)?;
        let (turn, in_force) = (Mutex::default(), Mutex::new(Arc::new(settings.clone())));
        let live = Self { own, hooked, turn, settings: in_force, followed: AtomicBool::new(false) };
        live.put_checks(None, settings, health)?;
        Ok(live)
    }

    /// Puts other settings in force: all of them, or none.
    pub(crate) fn apply(
        &self,
        settings: &Settings,
        breakers: &[Breaker],
        health: &HealthManager,
        degradation: &DegradationManager,
    ) -> Result<(), ConfigError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // All that may be refused comes first; what is left cannot be.
        same_checks(settings, &self.own)?;
        let before = self.settings();
        same_breakers(&before, settings)?;
        same_start(&before, settings)?;
        let levels = settings.degradation.levels();
        levels.validate().map_err(|error| error.within("degradation"))?;
        // What the settings do not name is code's.
        let named = || {
            breakers
                .iter()
                .filter_map(|breaker| Some((breaker, settings.breakers.get(breaker.name().as_str())?)))
        };
        for (breaker, said) in named() {
            let field = format!("circuit_breakers.{}", breaker.name());
            said.settings.validate().map_err(|error| error.within(&field))?;
        }
        self.put_checks(Some(&before), settings, health)?;
        for (breaker, said) in named() {
            breaker.reconfigure(said.settings.clone())?;
            put(breaker, before.breaker(breaker.name().as_str()).enabled, said.enabled);
            if let Some(told) = self.hooked.get(&breaker.name()) {
                told.store(said.on_state_change, Ordering::Relaxed);
            }
        }
        degradation.reconfigure(levels)?;
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings.clone());
        Ok(())
    }

    /// Only what the settings say otherwise than before is put in force: what an operator did to a check by hand stays.
    fn put_checks(
        &self,
        before: Option<&Settings>,
        settings: &Settings,
        health: &HealthManager,
    ) -> Result<(), ConfigError> {
        let merge = |settings: &Settings, name: &str, own: &Own| {
            settings.health.check(name).apply(own.settings.clone())
        };
        let others = self.own.iter().filter_map(|(name, own)| {
            let name = name.as_str();
            // One that was removed since is nobody's.
            health.settings(name)?;
            let was = before.map_or_else(|| own.settings.clone(), |before| merge(before, name, own));
            let merged = merge(settings, name, own);
            (was != merged).then_some((name, merged))
        });
        health.reconfigure_all(others).map_err(|error| error.within("health"))
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A breaker that is not enabled only observes. Only a change of that is put in force: what an operator's hand did stays.
fn put(breaker: &Breaker, was_enabled: bool, enabled: bool) {
    match (breaker.control(), was_enabled, enabled) {
        (Control::Automatic, true, false) => breaker.set_control(Control::ObserveOnly),
        (Control::ObserveOnly, false, true) => breaker.set_control(Control::Automatic),
        _ => {}
    }
}

/// The settings name the same breakers as before.
fn same_breakers(before: &Settings, settings: &Settings) -> Result<(), ConfigError> {
    let field = |name: &Name| format!("circuit_breakers.{name}");
    let (old, new) = (&before.breakers, &settings.breakers);
    if let Some(name) = new.keys().find(|name| !old.contains_key(name.as_str())) {
        let rule = "must have been named at the start: begin anew to add a breaker";
        return Err(ConfigError::new(field(name), name, rule));
    }
    match old.keys().find(|name| !new.contains_key(name.as_str())) {
        Some(name) => {
            let rule = "must be named as it was at the start: begin anew to leave a breaker out";
            Err(ConfigError::new(field(name), "nothing", rule))
        }
        None => Ok(()),
    }
}

/// What is only read at the start is as it was then.
fn same_start(before: &Settings, settings: &Settings) -> Result<(), ConfigError> {
    let (old, new) = (&before.health, &settings.health);
    let same = [
        ("health.service", old.service == new.service),
        ("health.drain_delay", old.drain_delay == new.drain_delay),
        ("health.drain_limit", old.drain_limit == new.drain_limit),
        ("health.blocking_threads", old.blocking_threads == new.blocking_threads),
        ("health.check_now_gap", old.check_now_gap == new.check_now_gap),
        ("health.seed", old.seed == new.seed),
        ("health.startup_latches", old.startup_latches == new.startup_latches),
        ("degradation.enabled", before.degradation.enabled == settings.degradation.enabled),
    ];
    match same.into_iter().find(|(_, same)| !same) {
        Some((field, _)) => {
            // The value may be a secret of the environment's.
            let rule = "cannot be changed while the program runs: begin anew";
            Err(ConfigError::new(field, "another value", rule))
        }
        None => Ok(()),
    }
}

fn own(health: &HealthManager) -> BTreeMap<Name, Own> {
    let report = health.report();
    let checks = report.checks().filter_map(|check| {
        let settings = CheckSettings::clone(&*health.settings(check.name.as_str())?);
        Some((check.name, Own { scope: check.scope, settings }))
    });
    checks.collect()
}

/// Each check is named in the settings and in code, and is of the same scope in both.
fn same_checks(settings: &Settings, own: &BTreeMap<Name, Own>) -> Result<(), ConfigError> {
    let field = |name: &Name| format!("health.checks.{name}");
    for (name, said) in &settings.health.checks {
        let Some(own) = own.get(name.as_str()) else {
            let rule = format!("must be one of the program's checks: {}", names(own.keys()));
            return Err(ConfigError::new(field(name), name, rule));
        };
        if said.scope.is_none() && said.critical == Some(true) && own.scope == Scope::Shared {
            let rule = "must say `scope: shared`, as the program's check is: `critical` alone is exclusive";
            return Err(ConfigError::new(field(name), "critical", rule));
        }
        if let Some(scope) = said.scope
            && scope != own.scope
        {
            let rule = format!("must be {}, as the program's check is", own.scope.as_str());
            return Err(ConfigError::new(format!("{}.scope", field(name)), scope.as_str(), rule));
        }
    }
    match own.keys().find(|name| !settings.health.checks.contains_key(name.as_str())) {
        Some(name) => {
            let rule = "must be named in the settings, as every check of the program's";
            Err(ConfigError::new(field(name), "nothing", rule))
        }
        None => Ok(()),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a Name>) -> String {
    let names: Vec<_> = names.map(Name::as_str).collect();
    if names.is_empty() { "it has none".to_owned() } else { names.join(", ") }
}
