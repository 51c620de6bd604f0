use std::time::Duration;

/// What a [`FaultProxy`](crate::FaultProxy) does to its connections: to those that are open and to new ones.
///
/// "The answer" is what the upstream server sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Passes everything on, at once. An end (FIN) of one side is passed on as an end, a broken connection as a
    /// reset.
    ///
    /// Connections that an earlier fault has broken stay broken.
    #[default]
    None,
    /// Nothing listens: connects are refused. Connections that are open go on as with [`None`](Self::None).
    Refuse,
    /// Swallows everything, both ways, and closes nothing: what either side sends is read and thrown away (so that a
    /// sender never blocks), and the ends of connections are kept from the other side. New connections are accepted,
    /// and are silent.
    ///
    /// A connection that was open or came meanwhile has lost bytes: it stays silent when the fault is over, until
    /// another fault resets it, its client closes it or the proxy is dropped. New ones work then.
    BlackHole,
    /// Everything is so much later, in each direction, so a question and its answer take twice as long more. The rate
    /// is not limited: chunks on the way follow each other as they came. The handshake of TCP is the kernel's, and
    /// not delayed.
    ///
    /// With the next fault what is on the way arrives at once, or shares the next fault's fate.
    Delay(Duration),
    /// So many bytes each second, for each connection and each direction. A sender that is faster is held back, after
    /// the kernel's buffers are full. With 0 nothing is passed on, and nothing is lost.
    Limit {
        /// Bytes each second.
        bytes_per_second: u64,
    },
    /// Each connection ends when so many bytes of the answer, counted from when the fault is set (or the connection
    /// comes), have been passed on: the client reads exactly those, and then the end (FIN). With 0 that is at once.
    ///
    /// What the client sends after the end is thrown away for 100 ms; then the socket is closed, and answers with
    /// resets. The server sees its connection closed.
    CutAfter {
        /// Bytes of the answer that still pass.
        bytes: u64,
    },
    /// All connections are reset (RST), on both sides. New ones are accepted and reset at once.
    Reset,
}
