//! The statements of one commit.

use rusqlite::{CachedStatement, Connection, Statement, Transaction, params};
use turnwire_proto::{EventId, Seq};

use super::{schema, writer::Row};

/// Rows of one statement: a statement has costs of its own (binding, the sequence's row). More rows gained nothing measurable.
const MANY: usize = 32;
/// Columns of a row.
const COLUMNS: usize = 7;

/// Where an event is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// It was written now.
    New(Seq),
    /// Its id was there already.
    Before(Seq),
}

pub(super) struct Insert<'a> {
    many: CachedStatement<'a>,
    one: CachedStatement<'a>,
    raw: CachedStatement<'a>,
    place: CachedStatement<'a>,
}

fn insert(rows: usize) -> String {
    let row = format!("({})", ["?"; COLUMNS].join(","));
    let rows = vec![row; rows].join(",");
    format!("INSERT INTO events(id, ts, type, source, agent, session, body) VALUES {rows} ON CONFLICT(id) DO NOTHING")
}

impl<'a> Insert<'a> {
    pub(super) fn prepare(tx: &'a Transaction<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            many: tx.prepare_cached(&insert(MANY))?,
            one: tx.prepare_cached(&insert(1))?,
            raw: tx.prepare_cached("INSERT INTO raws(seq, raw) VALUES (?1, ?2)")?,
            place: tx.prepare_cached("SELECT seq FROM events WHERE id = ?1")?,
        })
    }

    /// Inserts rows in their order. `known` is the newest place before them.
    pub(super) fn rows(&mut self, db: &Connection, rows: &[(&Row, &[u8])], known: Seq) -> rusqlite::Result<Vec<Place>> {
        let mut placed = Vec::with_capacity(rows.len());
        let mut newest = known;
        let chunks = rows.chunks_exact(MANY);
        let rest = chunks.remainder();
        for chunk in chunks {
            if bound(&mut self.many, chunk)? == MANY {
                // All were new, so they have the places up to the last one without a hole.
                let last = db.last_insert_rowid();
                let first = last - i64::try_from(MANY).unwrap_or(0) + 1;
                placed.extend((first..=last).map(|seq| Place::New(schema::to_seq(seq))));
                newest = schema::to_seq(last);
            } else {
                for (row, _) in chunk {
                    let seq = self.place_of(row.id)?;
                    // Places only grow: one behind the newest is of this statement, unless the same id came earlier in it.
                    placed.push(if seq > newest {
                        Place::New(seq)
                    } else {
                        Place::Before(seq)
                    });
                    newest = newest.max(seq);
                }
            }
        }
        for row in rest {
            if bound(&mut self.one, std::slice::from_ref(row))? == 1 {
                placed.push(Place::New(schema::to_seq(db.last_insert_rowid())));
            } else {
                placed.push(Place::Before(self.place_of(row.0.id)?));
            }
        }
        for ((row, _), place) in rows.iter().zip(&placed) {
            if let (Some(raw), Place::New(seq)) = (&row.raw, place) {
                self.raw
                    .execute(params![schema::from_seq(*seq), raw.get().as_bytes()])?;
            }
        }
        Ok(placed)
    }

    fn place_of(&mut self, id: EventId) -> rusqlite::Result<Seq> {
        let place = self.place.query_row([id.as_bytes()], |row| row.get(0));
        place.map(schema::to_seq)
    }
}

/// Binds the rows and runs the statement. How many were new.
fn bound(statement: &mut Statement<'_>, rows: &[(&Row, &[u8])]) -> rusqlite::Result<usize> {
    let mut at = 0;
    for (row, body) in rows {
        let facts = &row.facts;
        let agent = facts.agent.as_ref().map(AsRef::<str>::as_ref);
        let session = facts.session.as_ref().map(AsRef::<str>::as_ref);
        statement.raw_bind_parameter(at + 1, row.id.as_bytes())?;
        statement.raw_bind_parameter(at + 2, row.ts)?;
        statement.raw_bind_parameter(at + 3, facts.kind.as_str())?;
        statement.raw_bind_parameter(at + 4, facts.source.as_str())?;
        statement.raw_bind_parameter(at + 5, agent)?;
        statement.raw_bind_parameter(at + 6, session)?;
        statement.raw_bind_parameter(at + 7, body)?;
        at += COLUMNS;
    }
    statement.raw_execute()
}
