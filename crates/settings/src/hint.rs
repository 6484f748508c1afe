//! What was perhaps meant.

/// The known name closest to a wrong one, if any is close.
pub(crate) fn closest<'n>(wrong: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let wrong = wrong.to_lowercase();
    // A third of the letters may differ; beyond that a hint misleads more often than it helps.
    let worst = (wrong.chars().count() / 3).min(4);
    let distances = known.map(|name| (distance(&wrong, &name.to_lowercase()), name));
    distances.min_by_key(|(distance, _)| *distance).filter(|(distance, _)| *distance <= worst).map(|(_, name)| name)
}

pub(crate) fn text(hint: Option<&str>) -> String {
    hint.map(|hint| format!(", did you mean {hint}?")).unwrap_or_default()
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replace = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_typing_error_finds_its_key() {
        let check = |wrong, hint| {
            assert_eq!(closest(wrong, ["listenPort", "brokerName", "flushDiskType"].into_iter()), hint);
        };
        check("listenport", Some("listenPort"));
        check("lisstenPrt", Some("listenPort"));
        check("flushDskTyp", Some("flushDiskType"));
        check("x", None);
        check("storePathRootDir", None);
    }
}
