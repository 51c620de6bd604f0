//! The page that the program makes of a report, read as text and opened in a browser.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Page {
    place: TempDir,
    pub(crate) html: String,
}

/// Runs `report`.
pub(crate) fn run(arguments: &[&OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reference-stack"))
        .arg("report")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What is printed of a report, and the page of it.
pub(crate) fn render(report: &Value) -> (String, Page) {
    let place = tempfile::tempdir().unwrap();
    let (file, page) = (place.path().join("report.json"), place.path().join("report.html"));
    std::fs::write(&file, report.to_string()).unwrap();
    let output = run(&[file.as_ref(), "--html".as_ref(), page.as_ref()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let html = std::fs::read_to_string(page).unwrap();
    (String::from_utf8(output.stdout).unwrap(), Page { place, html })
}

impl Page {
    /// What a reader reads: without the elements, and without the script's part.
    pub(crate) fn text(&self) -> String {
        let body = self.html.split("<body>").nth(1).unwrap();
        let body = body.split("<script").next().unwrap();
        let pieces = body.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text));
        let text: String = pieces.collect();
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&amp;", "&")
    }

    /// All that the page refers to, in attributes and in its style.
    pub(crate) fn places(&self) -> Vec<&str> {
        let begins = [" src=\"", " href=\"", " action=\"", " data=\"", " xlink:href=\"", "url(", "@import "];
        let after = begins.into_iter().flat_map(|begin| self.html.split(begin).skip(1));
        after.map(|rest| rest.split(['"', ')', ';', ' ']).next().unwrap()).collect()
    }

    /// The page as a browser has it that reaches nothing, after its scripts.
    pub(crate) fn open(&self) -> String {
        let output = Command::new(chromium())
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args([
                "--host-resolver-rules=MAP * ~NOTFOUND",
                "--proxy-server=127.0.0.1:9",
                "--enable-logging=stderr",
            ])
            .arg(format!("--user-data-dir={}", self.place.path().join("profile").display()))
            .arg("--dump-dom")
            .arg(format!("file://{}", self.place.path().join("report.html").display()))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        // What a page complains of, be it a script or the policy, is on the console.
        assert!(!said.contains("CONSOLE"), "{said}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn chromium() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut places = std::env::split_paths(&path).flat_map(|place| names.map(|name| place.join(name)));
    places.find(|place| place.exists()).expect("no chromium; run .ci/test, or: apt-get install chromium")
}
