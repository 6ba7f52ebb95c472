//! Small things that come from outside, in queries, headers and fields: cursors, ids, names, kinds, scopes, moments.

use std::{fmt::Display, str::FromStr};

use serde_json::{Value, from_value, to_value};
use turnwire_proto::{
    ControlFrame, Epoch, EventId, Kind, Name, Scope, Scopes, Selector, Seq, Subject, Timestamp, Visibility, limits,
};

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for part in text.split(['\n', '&', ',', '=']).chain([text.as_ref()]) {
        one(part);
    }
    if let Some((name, body)) = text.split_once('\n')
        && let Some(frame) = ControlFrame::parse(name, body)
    {
        let again = to_value(&frame).expect("a control frame is plain data");
        assert_eq!(ControlFrame::parse(name, &again.to_string()), Some(frame));
    }
    selects(&text);
}

fn one(text: &str) {
    // Every form has a bound, so that no field of a request carries more.
    if let Some(seq) = reads_back::<Seq>(text) {
        assert!(seq <= Seq::MAX && text.len() <= 16);
    }
    if reads_back::<EventId>(text).is_some() || reads_back::<Epoch>(text).is_some() {
        assert_eq!(text.len(), 36);
    }
    if let Some(kind) = reads_back::<Kind>(text) {
        assert!(kind.as_str() == text && text.len() <= limits::KIND);
    }
    if let Some(scope) = reads_back::<Scope>(text) {
        assert_eq!(scope.to_string(), text);
        let scopes = Scopes([scope].into());
        assert!(scopes.covers(&scopes));
    }
    if let Some(moment) = reads_back::<Timestamp>(text) {
        assert_eq!(moment.to_string().len(), 24);
        assert_eq!(Timestamp::from_millis(moment.millis()), Some(moment));
    }
    let name = reads_back::<Name>(text);
    let lossy = Name::lossy(text);
    if let Some(name) = &name {
        assert!(name.as_str() == text && text.len() <= limits::NAME && !text.chars().any(char::is_control));
        assert_eq!(lossy.as_ref(), Some(name), "a name is its own nearest name");
    }
    assert_eq!(lossy.is_none(), text.is_empty());
}

/// What is accepted is spelt in one way, and that way is accepted by the text form and by JSON.
fn reads_back<T>(text: &str) -> Option<T>
where
    T: FromStr + Display + PartialEq + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let value: T = text.parse().ok()?;
    let spelt = value.to_string();
    assert_eq!(spelt.parse().ok().as_ref(), Some(&value), "{spelt:?}");
    let json: Value = to_value(&value).expect("a small thing is JSON");
    assert_eq!(from_value::<T>(json).ok().as_ref(), Some(&value), "{spelt:?}");
    Some(value)
}

/// A selector never shows what is not visible, whatever was asked for.
fn selects(text: &str) {
    let parts: Vec<&str> = text.split('\n').collect();
    let names: Vec<Name> = parts.iter().filter_map(|part| Name::new(part).ok()).take(8).collect();
    let kinds: Vec<Kind> = parts.iter().filter_map(|part| Kind::new(part).ok()).take(8).collect();
    let [granted, asked, session, source, ..] = names.as_slice() else {
        return;
    };
    let event = Subject {
        kind: kinds.first().map_or("note", Kind::as_str),
        source: source.as_str(),
        agent: names.get(4).map(Name::as_str),
        session: Some(session.as_str()),
    };
    for visible in [
        Visibility::Sessions([granted.clone()].into()),
        Visibility::Only(granted.clone()),
    ] {
        let what = Selector {
            session: Some(asked.clone()),
            agents: names[4..].to_vec(),
            kinds: kinds.clone(),
            ..Selector::within(visible)
        };
        if what.selects(&event) {
            assert!(what.visible.allows(&event) && asked == session);
            assert!(granted == session || event.source == turnwire_proto::PUBLIC_SOURCE);
        }
        assert!(what.is_whole_session().is_none_or(|whole| whole == granted));
    }
}
