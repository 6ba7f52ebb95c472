//! Full text over what was said and done: messages, reasoning, notes, errors, tool names, arguments and outputs.

use std::fmt::Write;

use rusqlite::{Connection, Transaction, params};
use serde_json::Value;
use turnwire_proto::{Event, Seq};

use super::{FORGET, from_seq, to_seq};

/// Bytes of one event that are indexed.
const TEXT: usize = 64 * 1024;
/// Words of one search.
const WORDS: usize = 32;

/// Contentless: the text itself is in the log.
pub(super) const TABLES: &str = "
    CREATE VIRTUAL TABLE search USING fts5(text, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2');
";

/// Fields of a body that hold what a person would look for.
const FIELDS: &[&str] = &[
    "content",
    "text",
    "body",
    "tool",
    "arguments",
    "output",
    "message",
    "error",
    "note",
    "title",
    "query",
    "task",
    "grader",
];

pub(super) fn fold(db: &Transaction<'_>, events: &[Event]) -> rusqlite::Result<()> {
    events.iter().try_for_each(|event| index(db, event))
}

fn index(db: &Transaction<'_>, event: &Event) -> rusqlite::Result<()> {
    if event.kind.is_delta() {
        return Ok(());
    }
    let text = text(event);
    if text.is_empty() {
        return Ok(());
    }
    // Folding may begin again behind what was folded already.
    let mut insert = db.prepare_cached("INSERT OR REPLACE INTO search(rowid, text) VALUES (?1, ?2)")?;
    insert.execute(params![from_seq(event.seq), text])?;
    Ok(())
}

/// Takes out the rows of events that are no longer kept; FTS5 gives their space back as it merges.
pub(super) fn forget(db: &Transaction<'_>, first: Seq) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM search WHERE rowid IN (SELECT rowid FROM search WHERE rowid < ?1 ORDER BY rowid LIMIT ?2)";
    db.prepare_cached(sql)?.execute(params![from_seq(first), FORGET])
}

fn text(event: &Event) -> String {
    let mut out = String::new();
    let Ok(Value::Object(body)) = event.data.read::<Value>() else {
        return out;
    };
    for value in FIELDS.iter().filter_map(|field| body.get(*field)) {
        strings(value, &mut out);
    }
    out
}

/// Every string and number in a value, as words.
fn strings(value: &Value, out: &mut String) {
    if out.len() >= TEXT {
        return;
    }
    match value {
        Value::String(text) => {
            let mut end = text.len().min(TEXT - out.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            out.push_str(&text[..end]);
            out.push('\n');
        }
        // Writing to a string does not fail.
        Value::Number(number) => drop(writeln!(out, "{number}")),
        Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
        Value::Object(fields) => fields.values().for_each(|field| strings(field, out)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// What a person typed, as FTS5 takes it: every word must be there, words in quotes as one phrase, a last `*` for a start.
/// `None` when there is no word in it.
pub(crate) fn expression(typed: &str) -> Option<String> {
    let mut out = Vec::new();
    for (at, part) in typed.split('"').enumerate() {
        if at % 2 == 1 {
            out.push(quoted(part));
        } else {
            out.extend(part.split_whitespace().map(|word| match word.strip_suffix('*') {
                Some(start) if !start.is_empty() => format!("{}*", quoted(start)),
                _ => quoted(word),
            }));
        }
    }
    out.retain(|word| word.chars().any(char::is_alphanumeric));
    out.truncate(WORDS);
    (!out.is_empty()).then(|| out.join(" "))
}

/// An FTS5 string: nothing in it is syntax.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace(['"', '\0'], " "))
}

/// Which way through the log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// Oldest first, after a place.
    After(Seq),
    /// Newest first, before a place.
    Before(Seq),
}

/// The places of events that have all of it.
pub(crate) fn find(db: &Connection, expression: &str, way: Way, limit: usize) -> rusqlite::Result<Vec<Seq>> {
    let (sql, place) = match way {
        Way::After(seq) => (
            "SELECT rowid FROM search WHERE search MATCH ?1 AND rowid > ?2 ORDER BY rowid LIMIT ?3",
            seq,
        ),
        Way::Before(seq) => (
            "SELECT rowid FROM search WHERE search MATCH ?1 AND rowid < ?2 ORDER BY rowid DESC LIMIT ?3",
            seq,
        ),
    };
    let mut statement = db.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    statement
        .query_map(params![expression, from_seq(place), limit], |row| {
            row.get(0).map(to_seq)
        })?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_never_syntax() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(TABLES).unwrap();
        db.execute(
            "INSERT INTO search(rowid, text) VALUES (1, 'cargo test failed: AND OR NOT near column')",
            [],
        )
        .unwrap();
        let found = |typed: &str| expression(typed).map(|e| find(&db, &e, Way::After(Seq::ZERO), 10).unwrap().len());
        assert_eq!(found("cargo failed"), Some(1));
        assert_eq!(found("\"cargo test\""), Some(1));
        assert_eq!(found("\"test cargo\""), Some(0));
        assert_eq!(found("car*"), Some(1));
        for hostile in [
            "AND",
            "NOT cargo",
            "text:cargo",
            "cargo) OR (x",
            "NEAR(cargo test)",
            "\"",
            "*",
            "cargo\"",
            "^cargo",
            "-cargo",
            "{x}",
        ] {
            let _ = found(hostile);
        }
        assert_eq!(expression("  *** \"\" "), None);
    }

    #[test]
    fn the_index_does_not_grow_with_what_was_trimmed() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch(TABLES).unwrap();
        let used = |db: &Connection| -> i64 {
            let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
            pragma("page_count") - pragma("freelist_count")
        };
        let mut early = 0;
        // Ten thousand events are kept; what came before goes, as retention does it.
        for round in 0..20_i64 {
            let tx = db.transaction().unwrap();
            for n in round * 5000..(round + 1) * 5000 {
                let text = format!("word{} word{} of event {n}", n % 97, n % 1009);
                tx.execute("INSERT INTO search(rowid, text) VALUES (?1, ?2)", params![n, text])
                    .unwrap();
            }
            tx.commit().unwrap();
            while let Some(first) = Seq::new(u64::try_from((round - 1) * 5000).unwrap_or(0)) {
                let tx = db.transaction().unwrap();
                let gone = forget(&tx, first).unwrap();
                tx.commit().unwrap();
                if gone < usize::from(FORGET) {
                    break;
                }
            }
            early = if round == 4 { used(&db) } else { early };
        }
        let rows: i64 = db
            .query_row("SELECT count(*) FROM search", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, 10_000);
        assert!(used(&db) < 2 * early, "{} pages after {early}", used(&db));
    }
}
