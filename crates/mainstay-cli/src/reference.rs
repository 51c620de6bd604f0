//! What there is to know about files in general: their schema, their keys; and the completions of the command.

use clap::CommandFactory;
use clap_complete::Shell;
use mainstay_config::Settings;

use crate::args::Args;
use crate::exit;
use crate::format::json;
use crate::output::Output;

pub(crate) fn schema(sections: &[String], output: &mut Output) -> u8 {
    let mut schema = Settings::schema();
    if let Some(known) = schema.get_mut("properties").and_then(|known| known.as_object_mut()) {
        for section in sections {
            // What is in it, only the program knows.
            known.entry(section).or_insert_with(|| serde_json::json!({ "type": ["object", "null"] }));
        }
    }
    output.line(json(&schema));
    exit::FINE
}

pub(crate) fn keys(output: &mut Output) -> u8 {
    output.print(Settings::table());
    exit::FINE
}

pub(crate) fn completions(shell: Shell, output: &mut Output) -> u8 {
    // Its own writing to a stream panics if that fails; to memory it does not.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "mainstay", &mut script);
    output.print(String::from_utf8_lossy(&script));
    exit::FINE
}
