//! Figures that are the same after a round trip through JSON, whoever reads it.

/// The figure to nine decimal digits. Readers that are not exact to the last bit, as the fast ones are not, are exact for these: as whole
/// numbers they, and the power of ten that they are divided by, fit into a double.
pub(crate) fn round(figure: f64) -> f64 {
    const LARGEST: f64 = 1e30;
    const SMALLEST: f64 = 1e-12;
    // Most figures are.
    if figure == figure.trunc() && figure.abs() < 1e9 {
        return figure;
    }
    // As whole numbers of a billionth these are exact, and so is the power of ten.
    if (1e-3..1e6).contains(&figure.abs()) {
        return (figure * 1e9).round() / 1e9;
    }
    if figure.abs() < SMALLEST || figure.is_nan() {
        return 0.0;
    }
    format!("{:.8e}", figure.clamp(-LARGEST, LARGEST)).parse().unwrap_or(figure)
}
