//! Acknowledged means kept: a process that appends under load is killed with SIGKILL at random moments, again and again on the
//! same data, and every time all that it acknowledged is there: whole, in order, once.
//!
//! What this cannot show is power loss: the kernel outlives the process, and with it what was written but not synced.

#![expect(clippy::unwrap_used, reason = "this is all test: what fails ends it")]

mod child;
mod ledger;
mod work;

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

use ledger::Ledger;
use turnwire_log::{
    Limit, Log, Retention,
    sqlite::{Options, SqliteLog},
};
use turnwire_proto::{Selector, Seq};
use work::{Batch, Random, TASKS};

/// Enough to meet each stage of a commit many times; each costs about half a second.
const KILLS: u32 = 60;
/// How long the child may say nothing before the test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

fn open(dir: &Path) -> SqliteLog {
    SqliteLog::open(dir, Options::default()).unwrap()
}

/// Not a test of its own: the process that [`all_that_was_acknowledged_is_there_after_every_kill`] starts and kills.
#[test]
fn child() {
    if let Ok(dir) = std::env::var(child::DIR) {
        child::run(|| open(Path::new(&dir)));
    }
}

#[test]
fn all_that_was_acknowledged_is_there_after_every_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    let mut random = Random::new(1);
    for run in 1..=KILLS {
        let killed = kill_one(dir.path(), run, &mut ledger, &mut random);
        look(dir.path(), run, &mut ledger).unwrap_or_else(|wrong| panic!("after kill {run} ({killed}): {wrong}"));
    }
    assert!(
        ledger.acked() > 500,
        "too little was under way when it was killed: {} batches",
        ledger.acked()
    );
}

/// Starts a child, kills it, and writes down what it said. Answers at what moment that was.
fn kill_one(dir: &Path, run: u32, ledger: &mut Ledger, random: &mut Random) -> String {
    let (mut child, said) = start(dir, run, &ledger.pending());
    // Every sixth is killed while it opens; the others after some answers, in the middle of the next ones.
    let answers = if run.is_multiple_of(6) { 0 } else { random.below(100) };
    let micros = if run.is_multiple_of(6) {
        random.below(30_000)
    } else {
        random.below(3_000)
    };
    let mut heard = 0;
    while heard < answers {
        match said.recv_timeout(PATIENCE) {
            Ok(line) => heard += u64::from(ledger.hear(&line)),
            Err(RecvTimeoutError::Disconnected) => panic!("the child ended by itself in run {run}"),
            Err(RecvTimeoutError::Timeout) => {
                child.kill().unwrap();
                panic!("the child hangs in run {run}");
            }
        }
    }
    std::thread::sleep(Duration::from_micros(micros));
    child.kill().unwrap();
    child.wait().unwrap();
    // What stands in the pipe was said before the end.
    for line in said {
        heard += u64::from(ledger.hear(&line));
    }
    format!("{heard} answers, {micros} µs after the one that was waited for")
}

fn start(dir: &Path, run: u32, pending: &[Batch]) -> (Child, Receiver<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(child::DIR, dir)
        .env(child::RUN, run.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for batch in pending {
        writeln!(stdin, "{batch}").unwrap();
    }
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let (tell, said) = channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        // A line without an end was cut by the kill: it was not said.
        while stdout.read_line(&mut line).is_ok_and(|_| line.ends_with('\n')) {
            if tell.send(line.trim_end().to_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    (child, said)
}

/// Opens the data as the next server would and compares them with the ledger.
#[tokio::main(flavor = "current_thread")]
async fn look(dir: &Path, run: u32, ledger: &mut Ledger) -> Result<(), String> {
    let log = open(dir);
    let bounds = log.bounds().await.unwrap();
    ledger.look(run, &bounds, &read(&log, ledger.head()).await)?;
    if run.is_multiple_of(10) {
        // The newest event may be among them: its place must not be given again.
        let task = u16::try_from(run).unwrap() % TASKS;
        let policy = Retention {
            session: Some(work::session(run, task)),
            ..Retention::default()
        };
        let trimmed = log.trim(&policy).await.unwrap();
        ledger.erased(run, task, trimmed.events)?;
        ledger.look_again(&read(&log, Seq::ZERO).await)?;
    }
    Ok(())
}

async fn read(log: &impl Log, mut after: Seq) -> Vec<(Seq, Vec<u8>)> {
    let what = Selector {
        raw: true,
        ..Selector::all()
    };
    let head = log.bounds().await.unwrap().head;
    let mut frames = Vec::new();
    while after < head {
        let page = log.read(&what, after, Limit::RUN).await.unwrap();
        assert!(page.cursor > after, "a page before the head makes progress");
        frames.extend(page.frames().map(|(seq, frame)| (seq, frame.to_vec())));
        after = page.cursor;
    }
    frames
}
