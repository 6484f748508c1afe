//! The terminal as a screen that is drawn over and over, and a keyboard.
//!
//! Control sequences are those of ECMA-48 and xterm, which every terminal of today knows.

use std::io::{self, Read as _, Write as _};

use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use tokio::sync::mpsc;

/// A second screen, without a cursor; and the way back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Keys pressed and not looked at yet; more are dropped.
const KEYS_MAX: usize = 16;

/// A key that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Sort,
    Quit,
}

/// The screen. Dropped, the terminal is as it was.
pub(super) struct Terminal {
    before: Termios,
    keys: mpsc::Receiver<Key>,
}

impl Terminal {
    pub(super) fn open() -> io::Result<Terminal> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        // Keys come one by one and unseen. Ctrl-C stays a signal.
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        let (sender, keys) = mpsc::channel(KEYS_MAX);
        // A read of the terminal cannot be interrupted: this thread ends with the process.
        std::thread::spawn(move || read_keys(&sender));
        let terminal = Terminal { before, keys };
        write(ENTER)?;
        Ok(terminal)
    }

    /// The next key; `None` when no more will come.
    pub(super) async fn key(&mut self) -> Option<Key> {
        self.keys.recv().await
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        match termios::tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
            _ => (80, 24),
        }
    }

    /// Draws lines over what was there, cut to the width.
    pub(super) fn draw(&self, lines: &[String], columns: usize) -> io::Result<()> {
        write(&frame(lines, columns))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that went away need not be restored.
        let _ = write(LEAVE);
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// From the top left corner: each line and an empty rest of it, then an empty rest of the screen.
fn frame(lines: &[String], columns: usize) -> String {
    let mut text = String::from("\x1b[H");
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            text.push_str("\r\n");
        }
        text.extend(line.chars().take(columns));
        text.push_str("\x1b[K");
    }
    text + "\x1b[J"
}

fn read_keys(keys: &mpsc::Sender<Key>) {
    for byte in io::stdin().lock().bytes() {
        let key = match byte {
            Ok(b's' | b'S') => Key::Sort,
            Ok(b'q' | b'Q') => Key::Quit,
            Ok(_) => continue,
            Err(_) => return,
        };
        if let Err(mpsc::error::TrySendError::Closed(_)) = keys.try_send(key) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_covers_the_one_before() {
        assert_eq!(frame(&["abcdef".into(), "x".into()], 3), "\x1b[Habc\x1b[K\r\nx\x1b[K\x1b[J");
    }
}
