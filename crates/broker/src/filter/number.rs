//! Numbers as Java reads them from text.

/// `Double.valueOf`: white space around the number and a type suffix are allowed, `inf` is not.
///
/// Hexadecimal numbers, which Java reads too, are refused.
pub(super) fn double(text: &str) -> Option<f64> {
    // `String.trim` removes everything up to the space.
    let text = text.trim_matches(|c: char| c <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned {
        "NaN" => return Some(f64::NAN),
        "Infinity" if text.starts_with('-') => return Some(f64::NEG_INFINITY),
        "Infinity" => return Some(f64::INFINITY),
        _ => {}
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let text = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    text.parse().ok()
}
