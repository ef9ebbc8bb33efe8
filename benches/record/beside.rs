//! A child process runs the same bench of another commit, and measures when this process asks for it.
//!
//! The child reads one request a line and answers each with a line of numbers, or with `none`.

use std::io::{BufRead, BufReader, Error, ErrorKind, Lines, Result, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::rows::{Rows, Table, each};

/// The environment variable that names the program of the other bench.
const PROGRAM: &str = "WGPU_OPTIM_RECORD_BESIDE";

/// The environment variable that tells a program that it is the child.
const CHILD: &str = "WGPU_OPTIM_RECORD_CHILD";

/// A request to the child.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    /// Makes the cases of a table, after dropping the cases of the last one.
    Make(Table),
    /// Answers with `Rows::least` of a row after so many steps.
    Least(usize, u64),
    /// Answers with `each` of a row of a table: the steps before, and how many to measure.
    Each(Table, usize, u64, usize),
}

/// The bench of another commit, if there is one.
pub(crate) struct Beside(Option<Running>);

struct Running {
    child: Child,
    asked: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Beside {
    /// Starts the program that the environment names.
    pub(crate) fn start() -> Result<Self> {
        let Some(program) = std::env::var_os(PROGRAM) else { return Ok(Self(None)) };
        let mut child = Command::new(program)
            .args(std::env::args_os().skip(1))
            .env_remove(PROGRAM)
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let ended = || Error::from(ErrorKind::BrokenPipe);
        let asked = child.stdin.take().ok_or_else(ended)?;
        let answers = BufReader::new(child.stdout.take().ok_or_else(ended)?).lines();
        Ok(Self(Some(Running { child, asked, answers })))
    }

    /// Sends a request and waits for the numbers.
    pub(crate) fn ask(&mut self, ask: Ask) -> Result<Option<Vec<f64>>> {
        let Some(running) = &mut self.0 else { return Ok(None) };
        writeln!(running.asked, "{}", ask.line())?;
        let ended = || Error::other("the other commit's bench has ended");
        let answer = running.answers.next().ok_or_else(ended)??;
        if answer == "none" {
            return Ok(None);
        }
        let wrong = |_| Error::other(format!("the other commit's bench says `{answer}`"));
        answer.split_whitespace().map(|x| x.parse().map_err(wrong)).collect::<Result<_>>().map(Some)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The child also ends by itself when its input ends; killing it saves the wait for a measurement.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ask {
    fn line(self) -> String {
        match self {
            Self::Make(table) => format!("make {}", words(table)),
            Self::Least(row, steps) => format!("least {row} {steps}"),
            Self::Each(table, row, steps, count) => {
                format!("each {} {row} {steps} {count}", words(table))
            }
        }
    }

    fn of(line: &str) -> Option<Self> {
        let (verb, rest) = line.split_once(' ')?;
        let mut rest = rest.split(' ');
        let number = |rest: &mut std::str::Split<'_, char>| rest.next()?.parse::<u64>().ok();
        Some(match verb {
            "make" => Self::Make(table(&mut rest)?),
            "least" => Self::Least(number(&mut rest)? as usize, number(&mut rest)?),
            "each" => {
                let table = table(&mut rest)?;
                let (row, steps) = (number(&mut rest)? as usize, number(&mut rest)?);
                Self::Each(table, row, steps, number(&mut rest)? as usize)
            }
            _ => return None,
        })
    }
}

fn words(table: Table) -> String {
    match table {
        Table::Motions(params) => format!("motions {params}"),
        Table::Changes(params) => format!("changes {params}"),
        Table::Stalls(params) => format!("stalls {params}"),
    }
}

fn table<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Table> {
    let (name, params) = (words.next()?, words.next()?.parse().ok()?);
    Some(match name {
        "motions" => Table::Motions(params),
        "changes" => Table::Changes(params),
        "stalls" => Table::Stalls(params),
        _ => return None,
    })
}

/// Answers requests until the input ends. Returns `false` at once if this process is no child.
pub(crate) fn answer(in_earnest: bool) -> Result<bool> {
    if std::env::var_os(CHILD).is_none() {
        return Ok(false);
    }
    let mut rows = None;
    for line in std::io::stdin().lines() {
        let line = line?;
        let ask = Ask::of(&line).ok_or_else(|| Error::other(format!("asked `{line}`")))?;
        let numbers = match ask {
            Ask::Make(table) => {
                // Dropped first, so that two tables never exist at once.
                drop(rows.take());
                rows = Some(Rows::new(table, in_earnest).map_err(Error::other)?);
                None
            }
            Ask::Least(row, steps) => match &mut rows {
                Some(rows) => rows.least(row, steps).map_err(Error::other)?.map(|us| vec![us]),
                None => None,
            },
            Ask::Each(table, row, steps, count) => match table.specs().get(row) {
                Some(spec) => each(*spec, steps, count).map_err(Error::other)?,
                None => None,
            },
        };
        let numbers =
            numbers.map(|all| all.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
        println!("{}", numbers.as_deref().unwrap_or("none"));
    }
    Ok(true)
}
