use std::sync::OnceLock;

use bytes::Bytes;

use super::endpoint::{Aspect, Endpoint, Form};
use super::json::{Detailed, Liveness, Overall, Readiness};
use super::standard::Standard;
use super::text;
use super::view::View;

/// What is served of a report: each page is made once, by the first who asks for it.
#[derive(Debug, Default)]
pub(crate) struct Pages(OnceLock<Box<[OnceLock<Bytes>; Page::COUNT]>>);

/// A page of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Line(Aspect),
    Verbose(Aspect),
    Json(Aspect),
    Detailed { private: bool },
    Standard { aspect: Aspect, private: bool },
}

/// What a request wants instead of the endpoint's own form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) verbose: bool,
    pub(crate) standard: bool,
    pub(crate) private: bool,
}

impl Pages {
    /// The page, made for a view that [lasts](View::is_lasting) as long as the report.
    pub(crate) fn get(&self, page: Page, view: &View<'_>) -> Bytes {
        let pages = self.0.get_or_init(|| Box::new([const { OnceLock::new() }; Page::COUNT]));
        match pages.get(page.index()) {
            Some(kept) => kept.get_or_init(|| page.render(view)).clone(),
            None => page.render(view),
        }
    }
}

impl Page {
    const COUNT: usize = 22;

    pub(crate) fn of(endpoint: Endpoint, wish: Wish) -> Self {
        let (aspect, private) = (endpoint.aspect(), wish.private);
        match endpoint.form() {
            _ if wish.standard => Page::Standard { aspect, private },
            Form::Text if wish.verbose => Page::Verbose(aspect),
            Form::Text => Page::Line(aspect),
            Form::Json => Page::Json(aspect),
            Form::Detailed => Page::Detailed { private },
        }
    }

    fn index(self) -> usize {
        match self {
            Page::Line(aspect) => aspect as usize,
            Page::Verbose(aspect) => 4 + aspect as usize,
            Page::Json(aspect) => 8 + aspect as usize,
            Page::Standard { aspect, private } => 12 + aspect as usize + 4 * usize::from(private),
            Page::Detailed { private } => 20 + usize::from(private),
        }
    }

    pub(crate) fn render(self, view: &View<'_>) -> Bytes {
        match self {
            Page::Line(aspect) => view.line(aspect).into(),
            Page::Verbose(aspect) => text::verbose(view, aspect).into(),
            Page::Json(Aspect::Live) => json(&Liveness(view)),
            Page::Json(Aspect::Ready | Aspect::Started) => json(&Readiness(view)),
            Page::Json(Aspect::Overall) => json(&Overall(view)),
            Page::Detailed { private } => json(&Detailed(view, private)),
            Page::Standard { aspect, private } => json(&Standard(view, aspect, private)),
        }
    }
}

/// Writing to memory cannot fail, and neither can our own types: all their keys are strings.
fn json(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
