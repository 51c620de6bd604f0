//! How it is known of an error that nobody was asked.
#![allow(clippy::panic, clippy::unwrap_used)]

use std::error::Error;
use std::{fmt, io};

use mainstay_core::NotAsked;

#[derive(Debug)]
struct TurnedAway;

impl fmt::Display for TurnedAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NotAsked::say();
        f.write_str("turned away")
    }
}

impl Error for TurnedAway {}

/// Shows nothing of its source.
#[derive(Debug)]
struct NoCart(Option<TurnedAway>);

impl fmt::Display for NoCart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no cart")
    }
}

impl Error for NoCart {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_ref().map(|source| source as _)
    }
}

/// Listens itself, which is nobody else's.
struct Nested;

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(!NotAsked::is_said_by("nothing"));
        assert!(NotAsked::is_said_by(&TurnedAway));
        f.write_str("nested")
    }
}

struct Panics;

impl fmt::Display for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("of itself")
    }
}

/// Takes it for granted that its text can be written.
struct Confident(TurnedAway);

impl fmt::Display for Confident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no cart: {}", self.0).unwrap();
        f.write_str(", nor will there be one").unwrap();
        Ok(())
    }
}

/// Its text and its source are a matter of chance.
#[derive(Debug)]
struct Moody;

impl fmt::Display for Moody {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        NotAsked::say();
        panic!("after it was said")
    }
}

impl Error for Moody {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        panic!("no source today")
    }
}

/// Its own source.
#[derive(Debug)]
struct Circular;

impl fmt::Display for Circular {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("see below")
    }
}

impl Error for Circular {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self)
    }
}

#[test]
fn an_error_says_it_of_itself_and_of_what_it_shows() {
    assert!(NotAsked::is_said_by(&TurnedAway));
    assert!(NotAsked::is_said_by(&io::Error::other(TurnedAway)));
    let boxed: Box<dyn Error + Send + Sync> = Box::new(TurnedAway);
    assert!(NotAsked::is_said_by(&boxed));
    assert!(!NotAsked::is_said_by("turned away"));
    assert_eq!(TurnedAway.to_string(), "turned away");
}

#[test]
fn what_is_not_shown_is_found_among_the_sources() {
    let error = NoCart(Some(TurnedAway));
    assert!(!NotAsked::is_said_by(&error));
    assert!(NotAsked::is_in_chain(&error));
    assert!(!NotAsked::is_in_chain(&NoCart(None)));
}

#[test]
fn one_look_inside_of_another_and_one_that_panics_disturb_nobody() {
    assert!(!NotAsked::is_said_by(&Nested));
    assert!(!NotAsked::is_said_by(&Panics));
    assert!(!NotAsked::is_said_by("nothing"));
    NotAsked::say();
    assert!(!NotAsked::is_said_by("nothing"));
}

#[test]
fn an_error_whose_text_or_source_panics_has_not_said_it() {
    assert!(!NotAsked::is_said_by(&Moody));
    assert!(!NotAsked::is_in_chain(&Moody));
    assert!(NotAsked::is_said_by(&TurnedAway));
}

#[test]
fn an_error_that_must_be_able_to_write_its_text_can() {
    assert!(NotAsked::is_said_by(&Confident(TurnedAway)));
}

#[test]
fn an_error_that_is_its_own_source_comes_to_an_end() {
    assert!(!NotAsked::is_in_chain(&Circular));
}
