//! Names: checked once, free to copy.

use mainstay_core::{ConfigError, Name};

#[test]
fn a_name_is_shown_as_it_was_given() {
    let name = Name::new("größe 2, the redis").unwrap();
    assert_eq!((name.as_str(), name.to_string().as_str()), ("größe 2, the redis", "größe 2, the redis"));
    assert_eq!(format!("{name:?}"), "\"größe 2, the redis\"");
    assert!(name == *"größe 2, the redis" && name == "größe 2, the redis");
}

#[test]
fn the_same_name_twice_is_the_same_text_in_memory() {
    let (one, other) = (Name::new("redis").unwrap(), Name::new(String::from("redis")).unwrap());
    assert!(std::ptr::eq(one.as_str(), other.as_str()));
}

#[test]
fn names_have_an_order() {
    let [a, b] = ["a", "b"].map(|name| Name::new(name).unwrap());
    assert!(a < b && a != b);
}

#[test]
fn names_of_1_and_of_128_bytes_are_accepted() {
    assert!(Name::new("r").is_ok());
    assert!(Name::new("x".repeat(Name::MAX_LEN)).is_ok());
}

#[test]
fn what_is_no_name_is_refused_with_value_and_rule() {
    for (name, rule) in [
        ("", "empty"),
        (&"x".repeat(Name::MAX_LEN + 1), "128 bytes"),
        (&"ö".repeat(65), "128 bytes"),
        (" redis", "white space"),
        ("redis\u{a0}", "white space"),
        ("  ", "white space"),
        ("re\ndis", "control"),
        ("re\0dis", "control"),
        ("\u{1b}[31mredis", "control"),
    ] {
        let ConfigError { field, value, rule: told } = Name::new(name).unwrap_err();
        assert_eq!((field.as_str(), value), ("name", format!("{name:?}")));
        assert!(told.contains(rule), "{name:?}: {told}");
    }
}

#[test]
fn many_threads_get_the_same_name() {
    let names = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| Name::new("shared").unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(names.iter().all(|name| std::ptr::eq(name.as_str(), names[0].as_str())));
}

#[cfg(feature = "serde")]
#[test]
fn a_name_is_read_from_text_and_checked() {
    let name: Name = serde_json::from_str(r#""redis""#).unwrap();
    assert_eq!(serde_json::to_string(&name).unwrap(), r#""redis""#);
    assert_eq!(serde_json::from_str::<Name>(r#""re\u0064is""#).unwrap(), name);
    assert!(serde_json::from_str::<Name>(r#"" ""#).unwrap_err().to_string().contains("white space"));
}
