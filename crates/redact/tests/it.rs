//! What the redactor promises.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use turnwire_proto::{Json, Kind, Name, NewEvent, Object, Timestamp};
use turnwire_redact::{OwnPattern, Redactor, boundary, samples};

fn redactor() -> Redactor {
    Redactor::new([7; 32], &[]).unwrap()
}

fn json(text: &str) -> String {
    redactor()
        .json(text)
        .map_or_else(|| text.to_owned(), |(json, _)| json.get().to_owned())
}

#[test]
fn every_kind_is_replaced_and_what_is_like_it_is_not() {
    for outcome in samples::run(&redactor()) {
        assert!(outcome.right, "{}: {}", outcome.name, outcome.text);
    }
}

/// A text as a JSON string, escaped so many times: JSON within a string of JSON.
fn nested(text: &str, times: usize) -> String {
    (0..times).fold(text.to_owned(), |text, _| {
        format!("{{\"x\":{}}}", serde_json::to_string(&text).unwrap())
    })
}

#[test]
fn a_secret_is_found_however_deep_in_json_within_json_it_stands() {
    for (name, text, secret) in samples::all() {
        for times in 1..5 {
            let before = nested(&text, times);
            let after = json(&before);
            assert!(
                serde_json::from_str::<serde_json::Value>(&after).is_ok(),
                "{name}: {after}"
            );
            match &secret {
                // Its first line is as good as all of it: what is escaped reads otherwise.
                Some(secret) => assert!(
                    !after.contains(secret.lines().next().unwrap()),
                    "{name} {times}: {after}"
                ),
                None => assert_eq!(after, before, "{name} {times}"),
            }
        }
    }
}

#[test]
fn escapes_hide_nothing() {
    let hidden = |letter: char| format!("\\u{:04x}", u32::from(letter));
    for (name, text, secret) in samples::all() {
        let Some(secret) = secret else { continue };
        for every in [1, 3] {
            let escaped: String = text
                .chars()
                .enumerate()
                .map(|(at, c)| {
                    // What must be escaped is.
                    if at % every == 0 || !c.is_ascii_alphanumeric() {
                        hidden(c)
                    } else {
                        c.to_string()
                    }
                })
                .collect();
            let before = format!("{{\"x\":\"{escaped}\"}}");
            let after = json(&before);
            let read: serde_json::Value = serde_json::from_str(&after).unwrap();
            let read = read["x"].as_str().unwrap();
            assert!(!read.contains(&secret) && read.contains("[redacted:"), "{name}: {read}");
        }
    }
    let slashes = json(r#"{"u":"https:\/\/me:s3cr3tpw@example.org\/x"}"#);
    assert!(slashes.contains(r"https:\/\/me:[redacted:url-password:"), "{slashes}");
}

#[test]
fn the_same_secret_has_the_same_marker_and_under_another_key_another() {
    let token = format!("ghp_{}", "0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R");
    let (once, kinds) = redactor().text(&format!("{token} and {token}")).unwrap();
    let (first, second) = once.split_once(" and ").unwrap();
    assert_eq!(first, second);
    assert_eq!(kinds.len(), 2);
    assert!(first.starts_with("[redacted:github-token:") && first.len() == "[redacted:github-token:12345678]".len());
    let other = Redactor::new([8; 32], &[]).unwrap().text(&token).unwrap().0;
    assert_ne!(first, other);
    // Escaped or not, it is the same secret.
    let escaped = json(&format!("[\"{}\"]", token.replace("ghp", "\\u0067hp")));
    assert_eq!(escaped, format!("[\"{first}\"]"));
}

#[test]
fn a_value_is_told_by_its_key_at_any_depth() {
    let before = r#"{"a":[{"DB_PASSWORD" : "hunter2hunter2","n":1.50}],"env":{"apiKey":"a1B2c3D4e5F6g7H8"},"h":{"Authorization":"token a1B2c3D4e5F6g7H8"}}"#;
    let after = json(before);
    assert!(!after.contains("hunter2") && !after.contains("a1B2c3"), "{after}");
    assert!(
        after.contains(r#""n":1.50"#) && after.contains("\"token [redacted:authorization:"),
        "{after}"
    );
    let same = r#"{"password":true,"x":"hunter2hunter2","password_rules":"hunter2hunter2","token":{"a":"b"}}"#;
    assert_eq!(json(same), same);
}

#[test]
fn a_key_of_an_object_is_replaced_like_any_string() {
    let after = json(r#"{"AKIAQ3EGRZ7EXAMPLE42":1}"#);
    assert!(after.starts_with(r#"{"[redacted:aws-key:"#), "{after}");
}

#[test]
fn nothing_but_the_secret_changes_in_an_event() {
    let data = Json::parse(r#"{"n":1.50, "s":"\u00e9 \/ AKIAQ3EGRZ7EXAMPLE42 é", "t":"\u0041"}"#).unwrap();
    let event = NewEvent::new(
        Kind::NOTE,
        Name::new("test").unwrap(),
        Timestamp::UNIX_EPOCH,
        Object::new(data).unwrap(),
    );
    let (clean, kinds) = redactor().event(&event).unwrap();
    assert_eq!(
        (clean.id, &clean.kind, clean.timestamp),
        (event.id, &event.kind, event.timestamp)
    );
    assert_eq!(kinds.len(), 1);
    let (start, end) = clean.data.get().split_once("[redacted:aws-key:").unwrap();
    assert_eq!(start, r#"{"n":1.50, "s":"\u00e9 \/ "#);
    assert_eq!(&end[8..], r#"] é", "t":"\u0041"}"#);
    assert!(redactor().event(&clean).is_none(), "twice is once");
}

#[test]
fn names_are_replaced_too() {
    let secret = Name::new(&format!("ghp_{}", "0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R")).unwrap();
    let mut event = NewEvent::new(Kind::NOTE, secret.clone(), Timestamp::UNIX_EPOCH, Object::empty());
    event.agent = Some(secret.clone());
    event.turn_id = Some(secret.clone());
    let (clean, kinds) = redactor().event(&event.in_session(secret)).unwrap();
    assert_eq!(kinds.len(), 4);
    let mut line = Vec::new();
    clean.encode_line(&mut line);
    assert!(!String::from_utf8(line).unwrap().contains("ghp_"));
}

#[test]
fn own_patterns_are_replaced_and_a_bad_one_is_named() {
    let own = |name: &str, pattern: &str| OwnPattern {
        name: name.to_owned(),
        pattern: pattern.to_owned(),
    };
    let with = |own: &[OwnPattern]| Redactor::new([7; 32], own);
    let ours = with(&[own("badge", r"badge (\d{4})"), own("digits", "[0-9a-f]{8}")]).unwrap();
    let (json, kinds) = ours
        .json(r#"{"t":"badge 1234","u":"\u0062adge 5678, deadbeef"}"#)
        .unwrap();
    assert_eq!(kinds.len(), 3);
    assert!(json.get().starts_with(r#"{"t":"badge [redacted:badge:"#), "{json:?}");
    assert!(ours.json(json.get()).is_none(), "what is in a marker is not looked at");
    for (bad, why) in [
        (own("Bad", "x"), "`Bad`: a name has"),
        (own("open", "("), "`open`: regex parse error"),
        (own("nothing", "x*"), "`nothing` matches the empty text"),
    ] {
        let error = with(&[own("fine", "x"), bad]).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    assert!(
        with(&[own("a", "x"), own("a", "y")])
            .unwrap_err()
            .to_string()
            .contains("twice")
    );
}

#[test]
fn what_stands_beside_a_secret_does_not_hide_another() {
    let (aws, github) = (
        "AKIAQ3EGRZ7EXAMPLE42",
        "github_pat_11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ0123456789",
    );
    let (glued, _) = redactor().text(&format!("{aws}{github}")).unwrap();
    assert!(
        !glued.contains("github_pat") && glued.matches("[redacted:").count() == 2,
        "{glued}"
    );
    // A value that is secret as a whole leaves nothing of itself.
    let value = json(&serde_json::json!({"password": format!("{aws}-and-h0rse-B4ttery-9x")}).to_string());
    assert!(!value.contains("B4ttery"), "{value}");
    let (value, _) = redactor()
        .text(&format!("password={aws}-and-h0rse-B4ttery-9x"))
        .unwrap();
    assert!(!value.contains("B4ttery"), "{value}");
}

#[test]
fn a_megabyte_of_nothing_but_beginnings_of_secrets_is_read_to_its_end_and_stays_json() {
    for piece in [
        "-----BEGIN RSA PRIVATE KEY-----",
        "-eyJ",
        "password=",
        "token=a1",
        "sk-",
        "Bearer a1",
        "://a:",
        "\\u0041",
        "AKIAQ3EGRZ7EXAMPLE42 ",
    ] {
        let text = format!("[\"{}\"]", piece.repeat(1024 * 1024 / piece.len()));
        let once = json(&text);
        assert!(serde_json::from_str::<serde_json::Value>(&once).is_ok());
    }
}

/// What is told of a text that comes in pieces, cut at boundaries, each piece redacted alone. Answers the pieces put together with and
/// without that.
fn streamed<'a>(pieces: impl IntoIterator<Item = &'a str>) -> (String, String) {
    let (mut held, mut told, mut plain) = (String::new(), String::new(), String::new());
    let tell = |piece: &str, told: &mut String, plain: &mut String| {
        let field = serde_json::json!({ "arguments_delta": piece }).to_string();
        let clean: serde_json::Value = serde_json::from_str(&json(&field)).unwrap();
        told.push_str(clean["arguments_delta"].as_str().unwrap());
        plain.push_str(piece);
    };
    for piece in pieces {
        held.push_str(piece);
        let at = boundary(&held);
        let rest = held.split_off(at);
        tell(&held, &mut told, &mut plain);
        held = rest;
    }
    tell(&held, &mut told, &mut plain);
    (told, plain)
}

/// Every sample in a text, as itself and as JSON within it.
fn in_context() -> Vec<(String, Option<String>)> {
    let mut texts = Vec::new();
    for (_, text, secret) in samples::all() {
        for (before, behind) in [
            ("", ""),
            ("Here it is: ", " and more.\n"),
            ("é", "\u{3002}次"),
            ("\n", "\n\n"),
        ] {
            let whole = format!("{before}{text}{behind}");
            texts.extend((1..3).map(|times| (nested(&whole, times), secret.clone())));
            texts.push((whole, secret.clone()));
        }
    }
    texts
}

/// No more of a secret is left than a few characters, and a text without one is the same.
fn holds_nothing(text: &str, secret: Option<&str>, (told, plain): &(String, String)) {
    assert_eq!(plain, text, "the pieces are the text");
    let Some(secret) = secret else {
        assert_eq!(told, text);
        return;
    };
    let part = 9.min(secret.len());
    for start in (0..=secret.len() - part).filter(|at| secret.is_char_boundary(*at)) {
        let part = &secret[start..start + part];
        // What a private key's lines begin and end with is none of it, nor are its escapes.
        let public = part.contains("-----") || part.contains("PRIVATE") || part.contains('\\') || part.contains('\n');
        assert!(public || !told.contains(part), "{part}\n{text}\n{told}");
    }
}

#[test]
fn a_secret_that_is_streamed_letter_by_letter_is_replaced_as_a_whole() {
    for (text, secret) in in_context() {
        let letters = text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]);
        let told = streamed(letters);
        holds_nothing(&text, secret.as_deref(), &told);
        assert_eq!(
            secret.is_some(),
            told.0.contains("[redacted:") && told.0 != text,
            "{}",
            told.0
        );
    }
}

#[test]
fn wherever_a_text_with_a_secret_is_cut_in_two_its_pieces_hold_nothing_of_it() {
    for (text, secret) in in_context() {
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            holds_nothing(&text, secret.as_deref(), &streamed([&text[..at], &text[at..]]));
        }
    }
}

#[test]
fn words_go_on_and_what_announces_a_secret_waits_for_it() {
    for (text, rest) in [
        ("words and mo", "mo"),
        ("the password must ha", "ha"),
        ("password", "password"),
        ("a password", "password"),
        ("a password ", "password "),
        ("a password: ", "password: "),
        ("a password = \"two wo", "password = \"two wo"),
        ("a password = \"two words\"", ""),
        ("Authorization: Bearer ", "Authorization: Bearer "),
        ("a bearer ", "bearer "),
        ("run --token ", "--token "),
        ("{\"api_key\":\"", "api_key\":\""),
        ("{\"path\":\"a/b\",\"o", "o"),
        ("x -----BEGIN RSA ", "-----BEGIN RSA "),
        (
            "x -----BEGIN PRIVATE KEY-----\nMIIE\nAAAA\n",
            "-----BEGIN PRIVATE KEY-----\nMIIE\nAAAA\n",
        ),
        ("-----BEGIN PUBLIC KEY-----\nMIIE\n", ""),
        ("漢字かな", ""),
    ] {
        assert_eq!(&text[boundary(text)..], rest, "{text}");
    }
    // Beyond what a private key may have, it is none.
    let endless = format!("-----BEGIN PRIVATE KEY-----\n{}", "MIIE\n".repeat(8000));
    assert!(boundary(&endless) > 32 * 1024);
}

proptest! {
    /// Whatever comes, in words: valid JSON stays valid JSON, and twice is once. A name that is glued to a secret is seen when that is gone.
    #[test]
    fn json_stays_json_and_twice_is_once(parts in proptest::collection::vec(prop_oneof![
        "\\PC{0,12}",
        proptest::sample::select(samples::all().into_iter().map(|(_, text, _)| text).collect::<Vec<_>>()),
        proptest::sample::select(vec!["\\".to_owned(), "\"".to_owned(), "password=".to_owned(), "\":\"".to_owned(), "\\u0041".to_owned(), "\n".to_owned()]),
    ], 0..6), times in 0_usize..3, key in "(password|token|x)") {
        let text = nested(&parts.join(" "), times);
        let before = serde_json::json!({ key: text, "list": [parts] }).to_string();
        let once = json(&before);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&once).is_ok(), "{}", once);
        prop_assert_eq!(json(&once), once);
    }

    #[test]
    fn however_a_text_is_cut_its_pieces_hold_nothing_of_its_secret(
        which in 0..1000_usize,
        sizes in proptest::collection::vec(1..40_usize, 1..60),
    ) {
        let texts = in_context();
        let (text, secret) = &texts[which % texts.len()];
        let (mut pieces, mut rest) = (Vec::new(), text.as_str());
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, left) = rest.split_at(rest.ceil_char_boundary(*size));
            pieces.push(piece);
            rest = left;
        }
        holds_nothing(text, secret.as_deref(), &streamed(pieces));
    }

    #[test]
    fn no_bytes_make_it_panic(text in "\\PC{0,200}") {
        let _ = redactor().text(&text);
        let _ = redactor().json(&text);
        prop_assert!(text.is_char_boundary(boundary(&text)));
    }
}
