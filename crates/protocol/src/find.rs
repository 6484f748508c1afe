//! Where in some bytes one of two is.

const ONES: u64 = u64::from_le_bytes([1; 8]);

/// Bytes before the first that is one or the other, all of them if there is none. Eight at a time: what is looked for
/// in headers and properties is a few bytes away, which is over before a search with wider words has begun.
#[inline]
pub(crate) fn before_first(bytes: &[u8], one: u8, other: u8) -> usize {
    // The lowest set bit tells the first byte that is zero; those above it may be wrong.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let (words, rest) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let equal = |byte: u8| zeros(word ^ (ONES * u64::from(byte)));
        let found = equal(one) | equal(other);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + rest.iter().take_while(|byte| **byte != one && **byte != other).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_is_found_wherever_it_is(bytes in proptest::collection::vec(0u8..4, 0..40), one in 0u8..4, other: u8) {
            let plainly = bytes.iter().position(|byte| *byte == one || *byte == other).unwrap_or(bytes.len());
            prop_assert_eq!(before_first(&bytes, one, other), plainly);
        }

        #[test]
        fn no_byte_is_taken_for_another(bytes: Vec<u8>, one: u8, other: u8) {
            let plainly = bytes.iter().position(|byte| *byte == one || *byte == other).unwrap_or(bytes.len());
            prop_assert_eq!(before_first(&bytes, one, other), plainly);
        }
    }
}
