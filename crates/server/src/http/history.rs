//! `/api/events/history`: pages of events, with the same filters as the stream, and full text.

use axum::{
    Router,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, header};
use turnwire_log::{Bounds, Limit, Page};
use turnwire_proto::{Seq, limits, path};

use super::{
    App, Refusal,
    query::{self, EventQuery},
};
use crate::{
    auth::{Grant, Read},
    views::search::{self, Way},
};

/// Events of a page when nothing else is asked for.
const PAGE: usize = 100;
/// Bytes of a page.
const BYTES: usize = 8 * 1024 * 1024;
/// Places that one look into the search index answers.
const FINDS: usize = 500;
/// Places that one search looks at before it answers with what it has.
const LOOKED: usize = 20_000;

pub(crate) fn router() -> Router<App> {
    Router::new().route(path::HISTORY, get(history))
}

/// A page as it is answered.
struct Answer {
    events: Vec<u8>,
    /// The places of the first and the last event.
    ends: Option<(Seq, Seq)>,
    /// Where the search went on from and to.
    cursor: Seq,
    count: usize,
}

async fn history(State(app): State<App>, grant: Grant<Read>, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let query = EventQuery::parse(query.as_deref(), query::HISTORY)?;
    let limit = query.limit.unwrap_or(PAGE).min(limits::PAGE);
    let bounds = app.hub().bounds(&grant).await?;
    // Without a place it is the newest page, as one opens a long session.
    let way = match (query.after, query.before) {
        (Some(after), _) => Way::After(after),
        (None, before) => Way::Before(before.unwrap_or_else(|| bounds.head.next())),
    };
    let answer = match query.search.as_deref().map(search::expression) {
        Some(None) => return Err(Refusal::field("q", "`q` has no word in it")),
        Some(Some(expression)) => found(&app, &grant, &query, &expression, way, limit, &bounds).await?,
        None => {
            let limit = Limit {
                events: limit,
                bytes: BYTES,
            };
            let page = match way {
                Way::After(after) => app.hub().after(&grant, query.what, after, limit).await?,
                Way::Before(before) => app.hub().before(&grant, query.what, before, limit).await?,
            };
            Answer::of(&page)
        }
    };
    Ok(answer.reply(way, &bounds))
}

/// The events that have the words of a search, each read through the same check as any other.
async fn found(
    app: &App,
    grant: &Grant<Read>,
    query: &EventQuery,
    expression: &str,
    way: Way,
    limit: usize,
    bounds: &Bounds,
) -> Result<Answer, Refusal> {
    app.views().reach(bounds.head).await;
    let (mut way, mut pages, mut looked) = (way, Vec::new(), 0);
    let mut cursor = match way {
        Way::After(seq) | Way::Before(seq) => seq,
    };
    while pages.len() < limit && looked < LOOKED {
        let expression = expression.to_owned();
        let places = app
            .views()
            .read(move |db| search::find(db, &expression, way, FINDS))
            .await?;
        for place in &places {
            looked += 1;
            cursor = *place;
            let one = Limit { events: 1, bytes: 1 };
            let page = app
                .hub()
                .after_once(grant, query.what.clone(), place.prev(), one)
                .await?;
            if page.marks.first().is_some_and(|mark| mark.seq == *place) {
                pages.push(page);
                if pages.len() >= limit {
                    break;
                }
            }
        }
        if places.len() < FINDS {
            if pages.len() < limit {
                cursor = if matches!(way, Way::After(_)) {
                    bounds.head
                } else {
                    Seq::ZERO
                };
            }
            break;
        }
        way = match way {
            Way::After(_) => Way::After(cursor),
            Way::Before(_) => Way::Before(cursor),
        };
    }
    if matches!(way, Way::Before(_)) {
        pages.reverse();
    }
    let mut answer = Answer {
        events: Vec::new(),
        ends: None,
        cursor,
        count: 0,
    };
    pages.iter().for_each(|page| answer.add(page));
    Ok(answer)
}

impl Answer {
    fn of(page: &Page) -> Self {
        let mut answer = Self {
            events: Vec::with_capacity(page.run.len()),
            ends: None,
            cursor: page.cursor,
            count: 0,
        };
        answer.add(page);
        answer
    }

    fn add(&mut self, page: &Page) {
        for (seq, json) in page.jsons() {
            if !self.events.is_empty() {
                self.events.push(b',');
            }
            self.events.extend_from_slice(json);
            self.ends = Some((self.ends.map_or(seq, |(first, _)| first), seq));
            self.count += 1;
        }
    }

    /// `next` is the cursor for `after`, always a place: what is not there yet may come. `prev` is the one for `before`, null where
    /// there is no more.
    fn reply(&self, way: Way, bounds: &Bounds) -> Response {
        let (next, prev) = match way {
            Way::After(after) => (
                Some(self.cursor.max(after)),
                self.ends.map(|(first, _)| first).or_else(|| Some(after.next())),
            ),
            Way::Before(before) => {
                let more = self.cursor > bounds.first;
                (
                    self.ends.map(|(_, last)| last).or_else(|| Some(before.prev())),
                    more.then_some(self.cursor),
                )
            }
        };
        let number = |seq: Option<Seq>| seq.map_or_else(|| "null".to_owned(), |seq| seq.to_string());
        let Bounds { first, head, epoch, .. } = bounds;
        let mut body = Vec::with_capacity(self.events.len() + 200);
        body.extend_from_slice(b"{\"events\":[");
        body.extend_from_slice(&self.events);
        let rest = format!(
            "],\"next\":{},\"prev\":{},\"first\":{first},\"head\":{head},\"epoch\":\"{epoch}\"}}",
            number(next),
            number(prev)
        );
        body.extend_from_slice(rest.as_bytes());
        let mut response = body.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
