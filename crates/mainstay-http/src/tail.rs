use mainstay_breaker::{Classified, OwnedPermit, Verdict};

/// What is left of a call when its head is in: the permit, until the body is over.
pub(crate) struct Tail {
    permit: Option<OwnedPermit>,
    /// What the head said, which stands unless the body breaks off.
    verdict: Verdict,
}

impl Tail {
    /// Nothing: the verdict is known, or nobody waits for it.
    pub(crate) const fn none() -> Self {
        Self { permit: None, verdict: Verdict::Ignore }
    }

    /// The head counts as the answer: a probe's slot is free from here on.
    pub(crate) fn after(head: Classified, permit: Option<OwnedPermit>) -> Self {
        let mut tail = Self { permit, verdict: head.verdict() };
        if let Some(permit) = &mut tail.permit {
            permit.answered(head);
        }
        tail
    }

    pub(crate) fn is_open(&self) -> bool {
        self.permit.is_some()
    }

    /// All of the body has come, or its reader wants no more of it.
    pub(crate) fn ended(&mut self) {
        if let Some(permit) = self.permit.take() {
            permit.record(self.verdict);
        }
    }

    /// The body broke off.
    pub(crate) fn broke(&mut self) {
        if let Some(permit) = self.permit.take() {
            permit.failure();
        }
    }
}

/// Who drops a body has had what he wanted, also when he panics.
impl Drop for Tail {
    fn drop(&mut self) {
        self.ended();
    }
}
