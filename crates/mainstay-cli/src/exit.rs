//! The exit codes, besides those of a probe.

/// All is well.
pub(crate) const FINE: u8 = 0;
/// The files of a comparison lead to different settings.
pub(crate) const DIFFERENT: u8 = 1;
/// The command line makes no sense.
pub(crate) const USAGE: u8 = 2;
/// The settings are wrong, or cannot be read.
pub(crate) const WRONG: u8 = mainstay_config::EX_CONFIG;
/// The output could not be written: `EX_IOERR` of `sysexits.h`.
pub(crate) const UNWRITTEN: u8 = 74;
