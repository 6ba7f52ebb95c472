//! What was used within a window: sums by bucket of time, by agent, model or session, and by tool. Of the rows of [`super::meter`]
//! that are of sessions which may be read, so that a sum tells nothing of others.

use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr,
};

use rusqlite::{Connection, params};
use serde::Serialize;
use turnwire_proto::{Name, Timestamp, Visibility};

use super::{latency::Histogram, meter::HOUR, used::Used};

/// Rows of one answer, and tools: those with the most of it.
const ROWS: usize = 200;

/// How far back it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Window {
    #[default]
    Day,
    Week,
    Month,
}

/// Not one of a few words.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("must be one of {0}")]
pub(crate) struct NotOneOf(&'static str);

impl FromStr for Window {
    type Err = NotOneOf;

    fn from_str(text: &str) -> Result<Self, NotOneOf> {
        match text {
            "24h" => Ok(Self::Day),
            "7d" => Ok(Self::Week),
            "30d" => Ok(Self::Month),
            _ => Err(NotOneOf("24h, 7d, 30d")),
        }
    }
}

impl Window {
    /// Hours of one bucket, and how many buckets.
    const fn buckets(self) -> (i64, i64) {
        match self {
            Self::Day => (1, 24),
            Self::Week => (6, 28),
            Self::Month => (24, 30),
        }
    }
}

/// What a row is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum By {
    #[default]
    Agent,
    Model,
    Session,
}

impl FromStr for By {
    type Err = NotOneOf;

    fn from_str(text: &str) -> Result<Self, NotOneOf> {
        match text {
            "agent" => Ok(Self::Agent),
            "model" => Ok(Self::Model),
            "session" => Ok(Self::Session),
            _ => Err(NotOneOf("agent, model, session")),
        }
    }
}

/// What is asked for, within what may be seen.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) visible: Visibility,
    pub(crate) window: Window,
    pub(crate) by: By,
    pub(crate) agent: Option<Name>,
    pub(crate) session: Option<Name>,
}

/// Sums of whatever it stands in.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Sums {
    input_tokens: i64,
    output_tokens: i64,
    cache_read_input_tokens: i64,
    cache_creation_input_tokens: i64,
    cost_usd: f64,
    turns: i64,
    tool_calls: i64,
    errors: i64,
}

impl Sums {
    fn add(&mut self, more: &Self) {
        let used = self.used() + more.used();
        *self = Self {
            input_tokens: used.input,
            output_tokens: used.output,
            cache_read_input_tokens: used.cache_read,
            cache_creation_input_tokens: used.cache_creation,
            cost_usd: used.cost_usd,
            turns: self.turns + more.turns,
            tool_calls: self.tool_calls + more.tool_calls,
            errors: self.errors + more.errors,
        };
    }

    const fn used(&self) -> Used {
        Used {
            input: self.input_tokens,
            output: self.output_tokens,
            cache_read: self.cache_read_input_tokens,
            cache_creation: self.cache_creation_input_tokens,
            cost_usd: self.cost_usd,
        }
    }

    fn tokens(&self) -> i64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

#[derive(Debug, Serialize)]
struct Bucket {
    at: Timestamp,
    #[serde(flatten)]
    sums: Sums,
}

#[derive(Debug, Default, Serialize)]
struct Row {
    /// The agent, the model or the session's id; empty where that is not known.
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(flatten)]
    sums: Sums,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_p50_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_p95_ms: Option<i64>,
    #[serde(skip)]
    took: Histogram,
}

#[derive(Debug, Default, Serialize)]
struct Tool {
    tool: String,
    calls: i64,
    failures: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p95_ms: Option<i64>,
    #[serde(skip)]
    took: Histogram,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    from: Timestamp,
    to: Timestamp,
    bucket_ms: i64,
    totals: Sums,
    buckets: Vec<Bucket>,
    rows: Vec<Row>,
    tools: Vec<Tool>,
    /// Whether there are more rows or tools than are listed.
    more: bool,
}

/// What is added up as rows are read.
struct Adding {
    by: By,
    first: i64,
    width: i64,
    totals: Sums,
    buckets: Vec<Bucket>,
    rows: Vec<Row>,
    keys: HashMap<String, usize>,
}

impl Adding {
    fn new(by: By, (first, width, count): (i64, i64, i64)) -> Self {
        let begins = (0..count).filter_map(|at| Timestamp::from_millis((first + at * width) * HOUR));
        let empty = |at| Bucket {
            at,
            sums: Sums::default(),
        };
        Self {
            by,
            first,
            width,
            totals: Sums::default(),
            buckets: begins.map(empty).collect(),
            rows: Vec::new(),
            keys: HashMap::new(),
        }
    }

    /// Takes one hour of one session and model. The place of its row.
    fn take(&mut self, hour: i64, of: &Of<'_>, sums: &Sums) -> usize {
        self.totals.add(sums);
        let bucket = usize::try_from((hour - self.first).div_euclid(self.width)).ok();
        if let Some(bucket) = bucket.and_then(|at| self.buckets.get_mut(at)) {
            bucket.sums.add(sums);
        }
        let key = match self.by {
            By::Agent => of.agent.unwrap_or_default(),
            By::Model => of.model,
            By::Session => of.session,
        };
        let at = match self.keys.get(key) {
            Some(at) => *at,
            None => {
                self.keys.insert(key.to_owned(), self.rows.len());
                self.rows.push(Row {
                    key: key.to_owned(),
                    title: of.title.filter(|_| self.by == By::Session).map(str::to_owned),
                    ..Row::default()
                });
                self.rows.len() - 1
            }
        };
        self.rows[at].sums.add(sums);
        at
    }
}

/// Whose an hour is.
struct Of<'a> {
    session: &'a str,
    agent: Option<&'a str>,
    title: Option<&'a str>,
    model: &'a str,
}

/// Adds up what was used until `now`. Buckets begin at whole multiples of their length, UTC; the last one is that of `now`.
pub(crate) fn usage(db: &Connection, asked: &Asked, now: Timestamp) -> rusqlite::Result<Told> {
    let (width, count) = asked.window.buckets();
    let hour = now.millis().div_euclid(HOUR);
    let first = hour - hour.rem_euclid(width) - (count - 1) * width;
    let mut adding = Adding::new(asked.by, (first, width, count));
    // A row of hours that is counted, and the row of the answer that it counts in.
    let mut counted: HashMap<i64, usize> = HashMap::new();
    let mut hours = db.prepare_cached(
        "SELECT u.n, u.hour, u.model, s.id, s.agent, s.title, u.input_tokens, u.output_tokens, u.cache_read, u.cache_creation,
            u.cost_usd, u.turns, u.tool_calls, u.errors
         FROM usage AS u JOIN sessions AS s ON s.n = u.session
         WHERE u.hour BETWEEN ?1 AND ?2 AND (?3 IS NULL OR s.agent = ?3) AND (?4 IS NULL OR s.id = ?4)",
    )?;
    let (agent, session) = (
        asked.agent.as_ref().map(Name::as_str),
        asked.session.as_ref().map(Name::as_str),
    );
    let mut rows = hours.query(params![first, hour, agent, session])?;
    while let Some(row) = rows.next()? {
        let of = Of {
            model: row.get_ref(2)?.as_str()?,
            session: row.get_ref(3)?.as_str()?,
            agent: row.get_ref(4)?.as_str_or_null()?,
            title: row.get_ref(5)?.as_str_or_null()?,
        };
        if !asked.visible.allows_session(of.session) {
            continue;
        }
        let sums = Sums {
            input_tokens: row.get(6)?,
            output_tokens: row.get(7)?,
            cache_read_input_tokens: row.get(8)?,
            cache_creation_input_tokens: row.get(9)?,
            cost_usd: row.get(10)?,
            turns: row.get(11)?,
            tool_calls: row.get(12)?,
            errors: row.get(13)?,
        };
        counted.insert(row.get(0)?, adding.take(row.get(1)?, &of, &sums));
    }
    let mut tools = tools(db, (first, hour), &counted, &mut adding.rows)?;
    let mut rows = adding.rows;
    rows.sort_by(|a, b| {
        let most = |row: &Row| (row.sums.tokens(), row.sums.turns, row.sums.tool_calls);
        let dearer = b.sums.cost_usd.total_cmp(&a.sums.cost_usd);
        dearer.then(most(b).cmp(&most(a))).then(a.key.cmp(&b.key))
    });
    let more = rows.len() > ROWS || tools.len() > ROWS;
    rows.truncate(ROWS);
    tools.truncate(ROWS);
    for row in &mut rows {
        (row.tool_p50_ms, row.tool_p95_ms) = (row.took.percentile(50), row.took.percentile(95));
    }
    for tool in &mut tools {
        (tool.p50_ms, tool.p95_ms) = (tool.took.percentile(50), tool.took.percentile(95));
    }
    Ok(Told {
        from: Timestamp::from_millis(first * HOUR).unwrap_or(now),
        to: now,
        bucket_ms: width * HOUR,
        totals: adding.totals,
        buckets: adding.buckets,
        rows,
        tools,
        more,
    })
}

/// Calls of the hours that are counted, by tool, the most used first; and of each row, how long they took.
fn tools(
    db: &Connection,
    (first, last): (i64, i64),
    counted: &HashMap<i64, usize>,
    rows: &mut [Row],
) -> rusqlite::Result<Vec<Tool>> {
    let mut tools: BTreeMap<String, Tool> = BTreeMap::new();
    let mut calls = db.prepare_cached(
        "SELECT l.usage, l.tool, l.bucket, l.calls, l.failures FROM usage AS u JOIN latencies AS l ON l.usage = u.n
         WHERE u.hour BETWEEN ?1 AND ?2",
    )?;
    let mut found = calls.query([first, last])?;
    while let Some(row) = found.next()? {
        let Some(at) = counted.get(&row.get(0)?) else { continue };
        let (tool, bucket, calls) = (row.get_ref(1)?.as_str()?, row.get(2)?, row.get(3)?);
        rows[*at].took.add(bucket, calls);
        if !tools.contains_key(tool) {
            tools.insert(tool.to_owned(), Tool::default());
        }
        if let Some(told) = tools.get_mut(tool) {
            told.calls += calls;
            told.failures += row.get::<_, i64>(4)?;
            told.took.add(bucket, calls);
        }
    }
    let named = tools.into_iter().map(|(tool, told)| Tool { tool, ..told });
    let mut tools: Vec<_> = named.collect();
    tools.sort_by_key(|tool| std::cmp::Reverse(tool.calls));
    Ok(tools)
}
