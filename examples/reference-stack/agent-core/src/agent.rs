use sha2::{Digest, Sha256};

/// One who looks at a task from a side of his own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    /// By this it is asked for.
    pub name: &'static str,
    /// What it does, in words that go before what it does it to.
    says: &'static str,
}

/// All there are.
pub const AGENTS: [Agent; 5] = [
    Agent { name: "researcher", says: "What is known turns on" },
    Agent { name: "planner", says: "The steps, in this order:" },
    Agent { name: "critic", says: "Weakest is what is said about" },
    Agent { name: "writer", says: "In short:" },
    Agent { name: "reviewer", says: "Checked and found sound:" },
];

/// The most words of the input that an answer takes up.
const MOST_WORDS: usize = 5;
/// The most characters of such a word.
const LONGEST_WORD: usize = 40;

impl Agent {
    /// The one of this name, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        AGENTS.into_iter().find(|agent| agent.name == name)
    }

    /// Its answer to this input, and how sure it is, from 0.5 to 1. A hash takes the place of thought: the same is always answered with
    /// the same.
    pub fn answer(self, input: &str) -> (String, f64) {
        let words: Vec<&str> = input.split_whitespace().collect();
        let mut hash = Sha256::new();
        hash.update(self.name);
        hash.update([0]);
        hash.update(input);
        let digest: [u8; 32] = hash.finalize().into();
        let (sure, choices) = digest.split_first().unwrap_or((&0, &[]));
        let chosen = choices.chunks_exact(4).take(MOST_WORDS.min(words.len())).filter_map(|choice| {
            let choice = choice.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
            words.get(choice % words.len())
        });
        let chosen: Vec<String> = chosen.map(|word| word.chars().take(LONGEST_WORD).collect()).collect();
        let about = if chosen.is_empty() { "nothing was asked".to_owned() } else { chosen.join(", ") };
        (format!("{} {about}.", self.says), 0.5 + f64::from(*sure) / 510.0)
    }
}
