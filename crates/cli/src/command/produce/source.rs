//! Where the messages to send come from.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result};
use tokio::sync::mpsc;

/// Lines read ahead of sending.
const LINES_MAX: usize = 1024;

/// A supply of bodies.
pub(super) enum Source {
    /// The same ones over and over, `left` in all.
    Given { bodies: Vec<Vec<u8>>, at: usize, left: u64 },
    /// Lines, read by a thread: neither a terminal nor a file can be waited for.
    Lines { lines: mpsc::Receiver<io::Result<Vec<u8>>>, empty: u64 },
}

impl Source {
    pub(super) fn given(bodies: &[String], count: u64) -> Source {
        Source::Given { bodies: bodies.iter().map(|body| body.clone().into_bytes()).collect(), at: 0, left: count }
    }

    /// Text that does not compress to nothing: words of a counter.
    pub(super) fn generated(size: usize, count: u64) -> Source {
        let mut body: Vec<u8> = Vec::with_capacity(size + 20);
        let mut word: u64 = 0x9e37_79b9_7f4a_7c15;
        while body.len() < size {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            body.extend_from_slice(format!("{:x} ", word >> 16).as_bytes());
        }
        body.truncate(size);
        Source::Given { bodies: vec![body], at: 0, left: count }
    }

    pub(super) fn file(path: &Path) -> Result<Source> {
        if path == Path::new("-") {
            return Ok(Source::standard_input());
        }
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        Ok(Source::lines(BufReader::new(file)))
    }

    pub(super) fn standard_input() -> Source {
        if io::stdin().is_terminal() {
            // Whether the hint can be shown does not matter.
            let _ = writeln!(io::stderr(), "Type messages, one a line. Ctrl-D ends.");
        }
        Source::lines(BufReader::new(io::stdin()))
    }

    fn lines(mut reader: impl BufRead + Send + 'static) -> Source {
        let (found, lines) = mpsc::channel(LINES_MAX);
        // Ends with its input, or with the receiver, or, blocked in a read, with the process.
        std::thread::spawn(move || {
            loop {
                let mut line = Vec::new();
                let read = reader.read_until(b'\n', &mut line);
                let ended = !matches!(read, Ok(1..));
                let item = match read {
                    Ok(0) => return,
                    Ok(_) => Ok(without_end(line)),
                    Err(error) => Err(error),
                };
                if found.blocking_send(item).is_err() || ended {
                    return;
                }
            }
        });
        Source::Lines { lines, empty: 0 }
    }

    /// How many there will be, if that is known.
    pub(super) fn total(&self) -> Option<u64> {
        match self {
            Source::Given { left, .. } => Some(*left),
            Source::Lines { .. } => None,
        }
    }

    /// Lines passed over because a message cannot be empty.
    pub(super) fn empty_lines(&self) -> u64 {
        match self {
            Source::Given { .. } => 0,
            Source::Lines { empty, .. } => *empty,
        }
    }

    /// The next body. May be dropped at any time without losing one.
    pub(super) async fn next(&mut self) -> Option<Result<Vec<u8>>> {
        match self {
            Source::Given { bodies, at, left } => {
                *left = left.checked_sub(1)?;
                let body = bodies[*at % bodies.len()].clone();
                *at += 1;
                Some(Ok(body))
            }
            Source::Lines { lines, empty } => loop {
                match lines.recv().await? {
                    Ok(line) if line.is_empty() => *empty += 1,
                    line => return Some(line.context("read a line")),
                }
            },
        }
    }
}

fn without_end(mut line: Vec<u8>) -> Vec<u8> {
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut source: Source) -> (Vec<String>, u64) {
        let mut bodies = Vec::new();
        while let Some(body) = source.next().await {
            bodies.push(String::from_utf8(body.unwrap()).unwrap());
        }
        (bodies, source.empty_lines())
    }

    #[tokio::test]
    async fn given_messages_go_round() {
        let given = Source::given(&["a".into(), "b".into()], 5);
        assert_eq!(given.total(), Some(5));
        assert_eq!(all(given).await.0, ["a", "b", "a", "b", "a"]);
        assert_eq!(all(Source::generated(10, 2)).await.0.iter().map(String::len).collect::<Vec<_>>(), [10, 10]);
        assert!(all(Source::generated(10, 0)).await.0.is_empty());
    }

    #[tokio::test]
    async fn lines_lose_their_end_and_empty_ones_are_counted() {
        let (bodies, empty) = all(Source::lines(&b"a\n\nb c\r\n\nlast"[..])).await;
        assert_eq!((bodies, empty), (vec!["a".into(), "b c".into(), "last".into()], 2));
    }
}
