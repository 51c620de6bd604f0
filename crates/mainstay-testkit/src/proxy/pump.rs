use std::collections::VecDeque;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::Fault;
use crate::proxy::Setting;

/// One direction of a connection: what was read and not yet passed on.
pub(super) struct Pump {
    is_answer: bool,
    fault: Fault,
    line: VecDeque<(Instant, Vec<u8>)>,
    /// Bytes in the line.
    held: usize,
    /// When the sender's end is due to be passed on.
    end: Option<Instant>,
    /// With a limited rate: when the next byte may go.
    free_at: Instant,
    /// With a cut ahead: how many bytes may go.
    left: Option<u64>,
}

/// Why a connection does not go on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Break {
    /// The fault is a reset, or one side broke.
    Reset,
    /// The fault is a black hole.
    Swallow,
    /// All bytes that were to pass have passed.
    Cut,
}

/// The largest piece that is read or written at once.
const PIECE: usize = 16 * 1024;

/// How much may wait in one direction, so that a slow reader holds its sender back.
const HOLD: usize = 4 * PIECE;

/// The same with a delay, where much is on the way though nobody is slow.
const HOLD_DELAYED: usize = 4 * 1024 * 1024;

/// With a limited rate: what is sent at once is no more than what may pass in this time.
const BEAT: Duration = Duration::from_millis(20);

/// A delay beyond what a clock can tell.
const FOR_EVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

// === impl Pump ===

impl Pump {
    pub(super) fn of_questions() -> Self {
        Self::new(false)
    }

    pub(super) fn of_answers() -> Self {
        Self::new(true)
    }

    fn new(is_answer: bool) -> Self {
        Self {
            is_answer,
            fault: Fault::None,
            line: VecDeque::new(),
            held: 0,
            end: None,
            free_at: Instant::now(),
            left: None,
        }
    }

    /// Passes on until the sender ends.
    pub(super) async fn run(
        mut self,
        mut setting: watch::Receiver<Setting>,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
    ) -> Result<(), Break> {
        // The first look is at the fault that is in force already.
        setting.mark_changed();
        let mut buffer = vec![0; PIECE];
        loop {
            let due = self.due();
            let may_read = self.end.is_none() && self.held < self.hold();
            let piece = self.piece();
            tokio::select! {
                // An order comes before anything else.
                biased;
                changed = setting.changed() => {
                    changed.map_err(|_| Break::Reset)?;
                    let fault = setting.borrow_and_update().fault;
                    self.obey(fault)?;
                }
                written = write(due, piece, &mut to) => match written.map_err(|_| Break::Reset)? {
                    Some(count) => self.passed(count)?,
                    None => return Ok(()),
                },
                read = from.read(&mut buffer), if may_read => match read.map_err(|_| Break::Reset)? {
                    0 => self.end = Some(self.arrival()),
                    count => {
                        self.held += count;
                        let bytes = buffer.get(..count).unwrap_or_default();
                        self.line.push_back((self.arrival(), bytes.to_vec()));
                    }
                },
            }
        }
    }

    /// Takes over a new fault.
    fn obey(&mut self, fault: Fault) -> Result<(), Break> {
        self.fault = fault;
        // What an earlier delay holds back goes at once.
        let now = Instant::now();
        self.line.iter_mut().map(|(due, _)| due).chain(&mut self.end).for_each(|due| *due = (*due).min(now));
        self.free_at = now;
        self.left = None;
        match self.fault {
            Fault::Reset => Err(Break::Reset),
            Fault::BlackHole => Err(Break::Swallow),
            Fault::CutAfter { bytes: 0 } => Err(Break::Cut),
            Fault::CutAfter { bytes } if self.is_answer => {
                self.left = Some(bytes);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// So many bytes of the first chunk have gone.
    fn passed(&mut self, count: usize) -> Result<(), Break> {
        self.held = self.held.saturating_sub(count);
        if let Some((due, mut chunk)) = self.line.pop_front()
            && count < chunk.len()
        {
            chunk.drain(..count);
            self.line.push_front((due, chunk));
        }
        if let Fault::Limit { bytes_per_second } = self.fault {
            // A timer that was late by a beat is made up for, a pause is not.
            let now = Instant::now();
            let from = self.free_at.max(now.checked_sub(BEAT).unwrap_or(now));
            self.free_at = from + time_for(count, bytes_per_second);
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(count as u64);
            if *left == 0 {
                return Err(Break::Cut);
            }
        }
        Ok(())
    }

    /// What may be written next. Empty at the sender's end.
    fn piece(&self) -> &[u8] {
        let chunk = self.line.front().map(|(_, chunk)| chunk.as_slice()).unwrap_or_default();
        let most = match self.fault {
            Fault::Limit { bytes_per_second } => (bytes_per_second / 50).clamp(1, PIECE as u64),
            _ => self.left.unwrap_or(u64::MAX),
        };
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(chunk.len());
        chunk.get(..length).unwrap_or_default()
    }

    /// When it may be written; `None` while there is nothing.
    fn due(&self) -> Option<Instant> {
        let due = self.line.front().map(|(due, _)| *due).or(self.end)?;
        match self.fault {
            Fault::Limit { bytes_per_second: 0 } => None,
            Fault::Limit { .. } => Some(due.max(self.free_at)),
            _ => Some(due),
        }
    }

    /// When what is read now is due at the other side.
    fn arrival(&self) -> Instant {
        let now = Instant::now();
        match self.fault {
            Fault::Delay(delay) => now.checked_add(delay).unwrap_or(now + FOR_EVER),
            _ => now,
        }
    }

    fn hold(&self) -> usize {
        if matches!(self.fault, Fault::Delay(_)) { HOLD_DELAYED } else { HOLD }
    }
}

/// Writes some of a piece when it is due, and says how much; `None` when the piece is the end. May be dropped at any
/// time without anything being lost.
async fn write(due: Option<Instant>, piece: &[u8], to: &mut WriteHalf<'_>) -> std::io::Result<Option<usize>> {
    let Some(due) = due else { return std::future::pending().await };
    if due > Instant::now() {
        sleep_until(due).await;
    }
    if piece.is_empty() {
        // The other side may be gone.
        let _ = to.shutdown().await;
        return Ok(None);
    }
    to.write(piece).await.map(Some)
}

/// How long so many bytes take.
fn time_for(bytes: usize, per_second: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / per_second.max(1) as f64)
}
