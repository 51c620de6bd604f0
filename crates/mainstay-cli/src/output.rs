use std::fmt::Display;
use std::io::{self, ErrorKind, Stderr, Stdout, Write};
use std::process::ExitCode;

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use clap::ColorChoice;

use crate::exit;
use crate::mistake::Mistake;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Where a command prints to. Colours that are not wanted are taken out on the way.
///
/// A reader that goes away ends the printing, and changes no exit code.
pub(crate) struct Output {
    out: AutoStream<Stdout>,
    err: AutoStream<Stderr>,
    failed: Option<io::Error>,
}

impl Output {
    pub(crate) fn new(color: ColorChoice) -> Self {
        let color = match color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        };
        let (out, err) = (AutoStream::new(io::stdout(), color), AutoStream::new(io::stderr(), color));
        Self { out, err, failed: None }
    }

    /// Prints what was asked for.
    pub(crate) fn print(&mut self, text: impl Display) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(text.to_string().as_bytes()).err();
        }
    }

    /// Prints what was asked for, and ends the line.
    pub(crate) fn line(&mut self, text: impl Display) {
        self.print(format_args!("{text}\n"));
    }

    /// Tells all mistakes, and how many there are.
    pub(crate) fn mistakes(&mut self, mistakes: &[Mistake]) {
        mistakes.iter().for_each(|mistake| self.error(mistake));
        let s = if mistakes.len() == 1 { "" } else { "s" };
        self.complain(format_args!("{} mistake{s}", mistakes.len()));
    }

    /// Tells what went wrong.
    pub(crate) fn error(&mut self, text: impl Display) {
        self.tell(ERROR, "error", text);
    }

    /// Tells what is perhaps not meant.
    pub(crate) fn warn(&mut self, text: impl Display) {
        self.tell(WARNING, "warning", text);
    }

    /// Says something that is not what was asked for.
    pub(crate) fn complain(&mut self, text: impl Display) {
        let _ = writeln!(self.err, "{text}");
    }

    fn tell(&mut self, style: Style, word: &str, text: impl Display) {
        self.complain(format_args!("{style}{word}:{style:#} {text}"));
    }

    /// The exit code of a command that ends with this one.
    pub(crate) fn finish(mut self, code: u8) -> ExitCode {
        match self.failed.take().or_else(|| self.out.flush().err()) {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                self.error(format_args!("the output could not be written ({})", error.kind()));
                exit::UNWRITTEN.into()
            }
            _ => code.into(),
        }
    }
}
