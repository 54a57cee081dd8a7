//! Where a run is shown.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use crate::table;
use crate::topology::Topology;
use crate::watch::Watch;

/// How often a line is written where there is no terminal to draw a table on.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The size of a terminal that does not tell its own: the one of the VT100.
const DEFAULT_SIZE: (usize, usize) = (80, 24);

/// A terminal with a table that is drawn anew each second, or a file with a line every 5 s.
///
/// It is a courtesy: when it cannot be written to (a closed pipe), the run goes on.
pub struct Screen {
    out: Box<dyn Write>,
    size: Option<(usize, usize)>,
    drawn: usize,
    last_line: Option<Duration>,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Screen {
    /// Standard output.
    pub fn stdout() -> Self {
        let size = size(&io::stdout(), io::stdout().is_terminal());
        Self::new(Box::new(io::stdout()), size)
    }

    /// Standard error, for when standard output carries the report.
    pub fn stderr() -> Self {
        let size = size(&io::stderr(), io::stderr().is_terminal());
        Self::new(Box::new(io::stderr()), size)
    }

    /// Anything; with a size (columns, lines) it is a terminal.
    pub fn new(out: Box<dyn Write>, size: Option<(usize, usize)>) -> Self {
        Self { out, size, drawn: 0, last_line: None }
    }

    /// Writes lines that stay.
    pub fn note(&mut self, text: &str) {
        self.drawn = 0;
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    /// Shows the state of the nodes, `elapsed` after they were ready.
    pub fn show(&mut self, topology: &Topology, watch: &Watch, elapsed: Duration) {
        let Some((width, height)) = self.size else {
            let due = self.last_line.is_none_or(|last| elapsed.saturating_sub(last) >= LINE_EVERY);
            if due {
                self.last_line = Some(elapsed);
                self.note(&format!("{:4.0} s: {}", elapsed.as_secs_f64(), table::summary(watch)));
            }
            return;
        };
        // The last line stays free for the cursor.
        let lines = table::render(topology, watch, width, height.saturating_sub(1));
        // Up over the table of the last second, then clear to the end of the screen (ECMA-48 CUU and ED).
        let up = if self.drawn > 0 { format!("\x1b[{}A\x1b[J", self.drawn) } else { String::new() };
        let text = lines.iter().fold(up, |text, line| text + line + "\n");
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        self.drawn = lines.len();
    }
}

fn size(terminal: &impl AsFd, is_terminal: bool) -> Option<(usize, usize)> {
    if !is_terminal {
        return None;
    }
    let told = rustix::termios::tcgetwinsize(terminal)
        .ok()
        .filter(|size| size.ws_col > 0 && size.ws_row > 0);
    Some(told.map_or(DEFAULT_SIZE, |size| (size.ws_col.into(), size.ws_row.into())))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::Screen;
    use crate::topology::Shape;
    use crate::watch::Watch;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn shown(size: Option<(usize, usize)>, seconds: &[u64]) -> String {
        let paper = Paper::default();
        let mut screen = Screen::new(Box::new(paper.clone()), size);
        for &second in seconds {
            screen.show(&Shape::Line.build(2, 0), &Watch::new(2), Duration::from_secs(second));
        }
        screen.note("end");
        String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_terminal_gets_a_table_that_is_drawn_over_the_last_one() {
        let text = shown(Some((20, 24)), &[0, 1]);
        let table = "NODE    UPSTREAM  PE\nnode-1  node-2     \nnode-2  -          \n";
        let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        let expected = format!("{table}\x1b[3A\x1b[J{table}end");
        assert_eq!(trimmed(&text), trimmed(&expected));
    }

    #[test]
    fn a_file_gets_a_line_every_five_seconds() {
        let text = shown(None, &[0, 1, 4, 5, 6, 9, 10]);
        let seconds: Vec<&str> =
            text.lines().filter_map(|line| line.split_once(" s:")).map(|(at, _)| at).collect();
        assert_eq!(seconds, ["   0", "   5", "  10"]);
        assert!(!text.contains('\x1b'));
    }
}
