//! Every subject does what its path says: otherwise its figure would be of something else.
#![cfg(feature = "full")]

use mainstay_benches::{Answer, Id, Path, Subject, Visitor, catalog};

#[test]
fn every_subject_answers_as_its_path_promises() {
    catalog::visit(&mut Answers);
}

#[test]
fn every_key_names_one_subject() {
    let mut keys = Keys(Vec::new());
    catalog::visit(&mut keys);
    keys.0.sort_unstable();
    let all = keys.0.len();
    keys.0.dedup();
    assert_eq!(keys.0.len(), all);
}

struct Answers;

impl Visitor for Answers {
    fn subject<S: Subject>(&mut self, id: Id, make: impl Fn() -> S) {
        let mut subject = make();
        let answers: Vec<_> = (0..1000).map(|_| subject.call()).collect();
        let of = |wanted| answers.iter().filter(|&&answer| answer == wanted).count();
        let expected = match id.path {
            Path::Closed | Path::Cloned | Path::Keyed | Path::HalfOpen | Path::Period => (1000, 0, 0),
            Path::OnePercent => (990, 10, 0),
            Path::ThirtyPercent => (700, 300, 0),
            Path::Open => (0, 0, 1000),
        };
        let actual = (of(Answer::Ok), of(Answer::Failed), of(Answer::Rejected));
        assert_eq!(actual, expected, "{}: succeeded, failed, rejected", id.key());
    }
}

struct Keys(Vec<String>);

impl Visitor for Keys {
    fn subject<S: Subject>(&mut self, id: Id, _: impl Fn() -> S) {
        self.0.push(id.key());
    }
}
