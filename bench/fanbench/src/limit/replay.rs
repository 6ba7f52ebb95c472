//! Stored events for W5: frames kept ready in a file, or rows of SQLite framed one by one.

use super::{LimitArgs, SSE_HEAD, Store, frame};
use crate::payload::{now_ns, write_event};
use crate::raw;
use anyhow::Result;
use mio::net::TcpStream;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Fills the store that `replay` reads, and says where it is.
pub(super) fn make_store(args: &LimitArgs) -> Result<PathBuf> {
    let name = match args.replay_from {
        Store::File => "replay.frames",
        Store::Sqlite => "replay.sqlite",
    };
    let path = args.dir.join(name);
    if args.replay_events == 0 {
        return Ok(path);
    }
    let _ = std::fs::remove_file(&path);
    let mut event = Vec::new();
    match args.replay_from {
        Store::File => {
            let mut out = std::io::BufWriter::new(File::create(&path)?);
            for seq in 1..=args.replay_events {
                event.clear();
                write_event(&mut event, seq - 1, now_ns());
                let mut bytes = Vec::with_capacity(320);
                frame(&mut bytes, seq, &event);
                out.write_all(&bytes)?;
            }
            out.flush()?;
        }
        Store::Sqlite => {
            let mut db = raw::open_sqlite(&path, "OFF")?;
            let tx = db.transaction()?;
            {
                let mut insert = tx.prepare(raw::INSERT)?;
                for seq in 1..=args.replay_events {
                    event.clear();
                    write_event(&mut event, seq - 1, now_ns());
                    insert.execute([std::str::from_utf8(&event)?])?;
                }
            }
            tx.commit()?;
        }
    }
    Ok(path)
}

/// Sends all of the store to one reader.
pub(super) fn replay(store: &Path, kind: Store, socket: TcpStream) -> Result<()> {
    let mut socket: std::net::TcpStream = socket.into();
    socket.set_nonblocking(false)?;
    socket.write_all(SSE_HEAD)?;
    match kind {
        Store::File => {
            let mut file = File::open(store)?;
            let mut buf = vec![0u8; 256 * 1024];
            loop {
                let n = file.read(&mut buf)?;
                if n == 0 {
                    break;
                }
                socket.write_all(&buf[..n])?;
            }
        }
        Store::Sqlite => {
            let db = rusqlite::Connection::open(store)?;
            let mut select = db.prepare("SELECT seq, data FROM events WHERE seq > ? ORDER BY seq")?;
            let mut rows = select.query([0])?;
            let mut out = Vec::with_capacity(300 * 1024);
            while let Some(row) = rows.next()? {
                frame(
                    &mut out,
                    row.get::<_, i64>(0)?.unsigned_abs(),
                    row.get_ref(1)?.as_bytes()?,
                );
                if out.len() >= 256 * 1024 {
                    socket.write_all(&out)?;
                    out.clear();
                }
            }
            socket.write_all(&out)?;
        }
    }
    // Stays open, as a live stream would, until the reader has had enough.
    let _ = socket.read(&mut [0u8; 1]);
    Ok(())
}
