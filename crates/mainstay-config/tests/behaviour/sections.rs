//! Sections of the program's own, and what a service validates when it starts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics fails, as it should"
)]

use std::time::Duration;

use mainstay_config::{EX_CONFIG, Environment, Loader, Section, SettingErrors};

const STRONG: &str = "kD83hf0qPzv7LmWc2XtR9sBnYa5eUj4i";

fn section(text: &str, variables: &[(&str, &str)]) -> Section {
    let environment = Environment::from_iter(variables.iter().copied());
    let loader = Loader::new().text("g.yaml", text).environment(environment).allow_section("gateway");
    loader.load().unwrap_or_else(|errors| panic!("{errors}")).section("gateway")
}

#[test]
fn a_section_is_refused_unless_it_is_allowed() {
    let errors = Loader::new().text("g.yaml", "gateway: {}").load().unwrap_err().to_string();
    assert_eq!(
        errors,
        "g.yaml:1:1: gateway: found the unknown key `gateway`, expected one of `circuit_breakers`, `health`, `degradation`"
    );
}

#[test]
fn everything_that_is_wrong_with_a_section_is_told_at_once() {
    let text = "
gateway:
  port: 70000
  listen: nowhere
  orchestrator: orchestrator:50052
  database: postgres//me:hunter2@db/x
  jwt_secret: changeme
  grace: 60
  debug: maybe
  colour: red
  limits: { free: many }
";
    let mut gateway = section(text, &[]);
    let _ = gateway.number::<u16>("port").or(8080);
    let _ = gateway.address("listen").required();
    let _ = gateway.endpoint("orchestrator", &["http", "https"]).required();
    let _ = gateway.endpoint("database", &["postgres"]).required();
    let _ = gateway.secret("jwt_secret", 32).required();
    let _ = gateway.duration("grace").or(Duration::from_secs(60));
    let _ = gateway.bool("debug").or(false);
    let _ = gateway.text("color").optional();
    let _ = gateway.text("issuer").required();
    let mut limits = gateway.section("limits");
    let _ = limits.number::<u32>("free").or(60);
    gateway.join(limits);
    let expected = "\
g.yaml:3:3: gateway.issuer: found nothing, expected text
g.yaml:3:9: gateway.port: found 70000, expected a number (u16)
g.yaml:4:11: gateway.listen: found \"nowhere\", expected an address and a port, such as 0.0.0.0:8080
g.yaml:5:17: gateway.orchestrator: found \"orchestrator:50052\", expected a URI with a host that begins with `http`, `https`
g.yaml:6:13: gateway.database: found ***, expected a URI with a host that begins with `postgres`
g.yaml:7:15: gateway.jwt_secret: found ***, expected a secret of at least 32 bytes, at least 8 of them different
g.yaml:8:10: gateway.grace: found 60, expected a duration with a unit, such as 250ms, 30s or 1h30m
g.yaml:9:10: gateway.debug: found \"maybe\", expected true or false
g.yaml:10:3: gateway.colour: found the unknown key `colour`, expected a known key
  did you mean `color`?
g.yaml:11:19: gateway.limits.free: found \"many\", expected a number (u32)";
    assert_eq!(gateway.finish().unwrap_err().to_string(), expected);
    assert_eq!(EX_CONFIG, 78);
}

#[test]
fn a_section_is_read_from_the_file_references_and_variables() {
    let text = "gateway: { jwt_secret: \"${JWT}\", port: 1, id: '${ID}' }";
    let variables = [
        ("JWT", STRONG),
        ("ID", "42"),
        ("MAINSTAY__GATEWAY__PORT", "9000"),
        ("MAINSTAY__GATEWAY__DEBUG", "true"),
    ];
    let mut gateway = section(text, &variables);
    assert_eq!(gateway.number::<u16>("port").required(), 9000);
    assert!(gateway.bool("debug").required());
    assert_eq!(gateway.text("id").required(), "42");
    let secret = gateway.secret("jwt_secret", 32).required();
    assert_eq!(secret.expose(), STRONG);
    assert_eq!(
        format!("{secret:?} {secret} {gateway:?}"),
        "*** *** Section { path: \"gateway\", keys: [\"jwt_secret\", \"port\", \"id\", \"debug\"], .. }"
    );
    gateway.finish().unwrap();
}

#[test]
fn a_weak_secret_is_one_that_is_short_or_repeats_itself() {
    for (weak, least) in [("short", 32), (&"a".repeat(64), 32), (&"ab".repeat(32), 32), ("", 1)] {
        let environment = Environment::from_iter([("S", weak)]);
        let mut section = Section::of_environment(&environment);
        let _ = section.secret("S", least).required();
        let errors = section.finish().unwrap_err().to_string();
        let found = if weak.is_empty() { "an empty variable" } else { "***" };
        assert!(errors.starts_with(&format!("S: found {found}, expected a secret of at least")), "{errors}");
    }
}

#[test]
fn required_variables_and_the_file_make_one_report() {
    let environment =
        Environment::from_iter([("DATABASE_URL", "postgres://me:hunter2@/x"), ("PATH", "/bin")]);
    let mut variables = Section::of_environment(&environment);
    let _ = variables.endpoint("DATABASE_URL", &["postgres"]).required();
    let _ = variables.secret("JWT_SECRET", 32).required();
    let file = Loader::new().text("g.yaml", "health: { seed: x }").environment(environment.clone()).load();
    let errors = SettingErrors::both(file, variables.finish()).map(|_| ()).unwrap_err();
    let expected = "\
g.yaml:1:17: health.seed: found \"x\", expected a whole number, at least 0
DATABASE_URL: found ***, expected a URI with a host that begins with `postgres`
JWT_SECRET: found nothing, expected a secret of at least 32 bytes, at least 8 of them different";
    assert_eq!(errors.to_string(), expected);
    assert!(!format!("{environment:?}").contains("hunter2"));
}

#[test]
fn a_loader_reads_its_files_anew_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mainstay.yaml");
    std::fs::write(&path, "health: { drain_delay: 1s }").unwrap();
    let loader = Loader::new().file(&path);
    assert_eq!(loader.files().collect::<Vec<_>>(), [path.as_path()]);
    assert_eq!(loader.load().unwrap().settings().health.drain_delay, Duration::from_secs(1));
    std::fs::write(&path, "health: { drain_delay: 2s }").unwrap();
    assert_eq!(loader.load().unwrap().settings().health.drain_delay, Duration::from_secs(2));
    std::fs::write(&path, [b'a', 0xff]).unwrap();
    let errors = loader.load().unwrap_err().to_string();
    assert!(errors.contains("a byte that is not UTF-8, after 1"), "{errors}");
}

#[test]
fn a_section_that_is_checked_makes_one_report_with_everything_else() {
    let text = "
health: { drain_delay: soon }
gateway: { port: many, colour: red, jwt_secret: '${UNSET}' }
";
    let check = |gateway: &mut Section| {
        let _ = gateway.number::<u16>("port").required();
        let _ = gateway.text("issuer").required();
        let _ = gateway.secret("jwt_secret", 32).required();
    };
    let loader = Loader::new().text("g.yaml", text).check_section("gateway", check);
    let expected = "\
g.yaml:2:24: health.drain_delay: found \"soon\", expected a duration with a unit, such as 250ms, 30s or 1h30m, at most 365days
g.yaml:3:10: gateway.issuer: found nothing, expected text
g.yaml:3:18: gateway.port: found \"many\", expected a number (u16)
g.yaml:3:24: gateway.colour: found the unknown key `colour`, expected one of `port`, `issuer`, `jwt_secret`
g.yaml:3:49: gateway.jwt_secret: found `${UNSET}`, expected a variable that is set";
    assert_eq!(loader.load().unwrap_err().to_string(), expected);

    let fine = format!("gateway: {{ port: 1, issuer: me, jwt_secret: {STRONG} }}");
    let loaded = Loader::new().text("g.yaml", fine).check_section("gateway", check).load().unwrap();
    assert_eq!(loaded.section("gateway").number::<u16>("port").required(), 1);

    let absent = Loader::new().check_section("gateway", check).load().unwrap_err().to_string();
    assert!(absent.contains("gateway.issuer: found nothing, expected text"), "{absent}");
}
