//! The page: plain ES modules, embedded as they stand in `ui/`, and joined into one script when they are served. Built by nothing else.
//!
//! The index names every part under a path with the hash of all of them, so each part may be cached for ever and a new
//! release never mixes with an old one. A debug build reads the files from disk: edit, reload.

mod join;

use std::{
    io::Write,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::Path,
    response::{IntoResponse, Response},
    routing::get,
};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};
use turnwire_proto::{Code, Json, path};

use super::Refusal;

/// What is served. Types, tests and what tests need are not.
#[derive(RustEmbed)]
#[folder = "ui/"]
#[include = "*.css"]
#[include = "*.html"]
#[include = "*.js"]
#[include = "*.mjs"]
#[include = "*.svg"]
#[exclude = "node_modules/*"]
#[exclude = "test/*"]
#[exclude = "testing/*"]
struct Files;

/// The frame of the page; the rest are its parts.
const INDEX: &str = "index.html";

/// What modules import by name, and the part that answers it.
const IMPORTS: [(&str, &str); 6] = [
    ("preact", "vendor/preact.mjs"),
    ("preact/hooks", "vendor/hooks.mjs"),
    ("@preact/signals-core", "vendor/signals-core.mjs"),
    ("@preact/signals", "vendor/signals.mjs"),
    ("htm", "vendor/htm.mjs"),
    ("uplot", PLOTS),
];

/// Our modules as one, and the module that it begins with.
const SCRIPT: &str = "app.js";

/// The style sheets as one, and what it is made of: what comes later goes before.
const STYLE: &str = "style.css";
const STYLES: [&str; 10] = [
    STYLE,
    "sessions.css",
    "session.css",
    "text.css",
    "steer.css",
    "inbox.css",
    "fleet.css",
    "measure.css",
    "timeline.css",
    "vendor/uplot.css",
];

/// Large, and needed by one view alone, which imports it when it is opened.
const PLOTS: &str = "vendor/uplot.mjs";

/// One file of the page, ready to send.
struct Part {
    name: String,
    media: &'static str,
    plain: Bytes,
    gzip: Bytes,
}

/// The whole page as it was at one moment.
struct Page {
    build: String,
    index: Bytes,
    policy: HeaderValue,
    parts: Vec<Part>,
}

/// Serves the page at `/` and its parts below `/ui/`. Needs no sign-in: there is nothing in it but the program.
pub fn router<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new().route(path::INDEX, get(index)).route(path::UI, get(part))
}

async fn index() -> Response {
    let page = page();
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    let mut response = (fixed, page.index.clone()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, page.policy.clone());
    guard(headers);
    response
}

async fn part(Path((build, file)): Path<(String, String)>, asked: HeaderMap) -> Response {
    let page = page();
    if build != page.build {
        let message = "these parts are of another version of the page; load / again";
        return Refusal::new(Code::NotFound, message)
            .with("build", page.build.as_str())
            .into_response();
    }
    let Some(part) = page.parts.iter().find(|part| part.name == file) else {
        return Refusal::new(Code::NotFound, "the page has no such part").into_response();
    };
    let fixed = [
        (header::CONTENT_TYPE, part.media),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::VARY, "accept-encoding"),
    ];
    let mut response = if takes_gzip(&asked) && part.gzip.len() < part.plain.len() {
        (fixed, [(header::CONTENT_ENCODING, "gzip")], part.gzip.clone()).into_response()
    } else {
        (fixed, part.plain.clone()).into_response()
    };
    guard(response.headers_mut());
    response
}

/// What every answer of the page says to the browser.
fn guard(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// Whether `gzip` is among the codings that the client takes: named, and not with a weight of zero.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let values = asked.get_all(header::ACCEPT_ENCODING).into_iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight
            .trim()
            .strip_prefix("q=")
            .is_some_and(|q| q.trim().parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// In a debug build, for how long what was read from disk is taken as it was: shorter than from an edit to the reload after it, and
/// long enough that one load of the page reads and hashes its parts once, not once for each of them.
const FRESH: Duration = Duration::from_secs(1);

/// The page, put together once; in a debug build again whenever a file has changed.
fn page() -> Arc<Page> {
    static ONCE: OnceLock<Arc<Page>> = OnceLock::new();
    static NEWEST: Mutex<Option<(Instant, Arc<Page>)>> = Mutex::new(None);
    if !cfg!(debug_assertions) {
        return Arc::clone(ONCE.get_or_init(|| Arc::new(Page::of(&files()))));
    }
    // A panic cannot leave a half-made page behind: only whole ones are put in.
    let mut newest = NEWEST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, page)) = newest.as_ref().filter(|(read, _)| read.elapsed() < FRESH) {
        return Arc::clone(page);
    }
    let files = files();
    let build = build_of(&files);
    let same = newest.take().map(|(_, page)| page).filter(|page| page.build == build);
    let page = same.unwrap_or_else(|| Arc::new(Page::of(&files)));
    *newest = Some((Instant::now(), Arc::clone(&page)));
    page
}

/// Every file by name, in the order of names, so that the same files always have the same hash.
fn files() -> Vec<(String, Bytes)> {
    let named = Files::iter().filter_map(|name| {
        let file = Files::get(&name)?;
        Some((name.into_owned(), Bytes::from(file.data.into_owned())))
    });
    let mut files: Vec<_> = named.collect();
    files.sort();
    files
}

fn build_of(files: &[(String, Bytes)]) -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in files {
        hash.update(name);
        hash.update([0]);
        hash.update(Sha256::digest(bytes));
    }
    // 64 bits tell builds apart; this is a name, not a proof.
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Page {
    fn of(files: &[(String, Bytes)]) -> Self {
        let build = build_of(files);
        let texts: Vec<(&str, &str)> = files
            .iter()
            .map(|(name, bytes)| (name.as_str(), std::str::from_utf8(bytes).unwrap_or_default()))
            .collect();
        // All of it is part of the crate: a file that is missing leaves a hole, and the test below fails.
        let text = |wanted: &str| {
            texts
                .iter()
                .find(|(name, _)| *name == wanted)
                .map_or("", |(_, text)| *text)
        };
        let as_they_are = files
            .iter()
            .filter(|(name, _)| name.ends_with(".mjs") || name.ends_with(".svg"));
        let mut parts: Vec<Part> = as_they_are.map(|(name, bytes)| Part::of(name, bytes)).collect();
        parts.push(Part::of(SCRIPT, &script(&texts).into()));
        parts.push(Part::of(STYLE, &join::styles(STYLES.into_iter().map(text)).into()));
        let imports = import_map(&build);
        Self {
            index: Bytes::from(fill(text(INDEX), &build, &imports, &parts)),
            policy: policy(&imports),
            build,
            parts,
        }
    }
}

/// Our modules as one. A module that cannot be joined is what the browser's console then says, and a failed test.
fn script(files: &[(&str, &str)]) -> String {
    join::modules(SCRIPT, files).unwrap_or_else(|error| format!("throw new Error({});", Json::of(&error).get()))
}

impl Part {
    fn of(name: &str, plain: &Bytes) -> Self {
        let media = match name.rsplit_once('.').map(|(_, end)| end) {
            Some("js" | "mjs") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "application/octet-stream",
        };
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory does not fail; if it did, the plain bytes would be sent.
        let gzip = encoder.write_all(plain).and_then(|()| encoder.finish());
        Self {
            name: name.to_owned(),
            media,
            gzip: gzip.map_or_else(|_| plain.clone(), Bytes::from),
            plain: plain.clone(),
        }
    }
}

fn import_map(build: &str) -> String {
    let imports = IMPORTS.map(|(name, part)| format!(r#""{name}":"/ui/{build}/{part}""#));
    format!(r#"{{"imports":{{{}}}}}"#, imports.join(","))
}

/// Puts the import map and a preload of what the script imports into the frame, but of what one view alone needs: all load at
/// once, not one import after another.
fn fill(frame: &str, build: &str, imports: &str, parts: &[Part]) -> String {
    let modules = parts
        .iter()
        .filter(|part| part.name.ends_with(".mjs") && part.name != PLOTS);
    let preloads: String = modules
        .map(|part| format!("<link rel=\"modulepreload\" href=\"/ui/{build}/{}\">\n", part.name))
        .collect();
    let head = format!("<script type=\"importmap\">{imports}</script>\n{preloads}");
    frame.replace("<!-- modules -->\n", &head).replace("{build}", build)
}

/// What the page may do: its own scripts and its own server, nothing else. The import map is the one inline script, allowed by
/// its hash; markup made from text is refused by the browser itself.
fn policy(imports: &str) -> HeaderValue {
    let hash = base64(&Sha256::digest(imports));
    let text = format!(
        "default-src 'self'; script-src 'self' 'sha256-{hash}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
         object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    );
    HeaderValue::from_str(&text).expect("the policy is made of visible ASCII")
}

/// With padding, as a policy spells a hash.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| {
            bits << 8 | usize::from(chunk.get(at).copied().unwrap_or(0))
        });
        for digit in 0..4 {
            let sign = DIGITS[bits >> (18 - 6 * digit) & 63];
            out.push(if digit <= chunk.len() { char::from(sign) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use http::{Request, StatusCode};
    use std::io::Read;
    use tower::ServiceExt;

    async fn ask(path: &str, encoding: &str) -> (StatusCode, HeaderMap, Vec<u8>) {
        let request = Request::get(path)
            .header(header::ACCEPT_ENCODING, encoding)
            .body(Body::empty())
            .unwrap();
        let (head, body) = router::<()>().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (head.status, head.headers, body.to_vec())
    }

    fn hrefs(index: &str) -> Vec<&str> {
        let values = index.split('"').filter(|text| text.starts_with("/ui/"));
        values.collect()
    }

    #[tokio::test]
    async fn every_part_that_the_index_names_is_served_with_its_media_type_and_cached_for_ever() {
        let (status, headers, index) = ask("/", "").await;
        assert_eq!(
            (status, &headers[header::CACHE_CONTROL]),
            (StatusCode::OK, &HeaderValue::from_static("no-cache"))
        );
        let index = String::from_utf8(index).unwrap();
        let hrefs = hrefs(&index);
        for (_, part) in IMPORTS {
            assert!(hrefs.iter().any(|href| href.ends_with(part)), "{part}");
        }
        for wanted in [SCRIPT, STYLE, "icon.svg"] {
            assert!(hrefs.iter().any(|href| href.ends_with(wanted)), "{wanted}");
        }
        let preloaded: Vec<_> = index.lines().filter(|line| line.contains("modulepreload")).collect();
        assert!(
            preloaded.iter().any(|line| line.contains("preact")) && !preloaded.iter().any(|line| line.contains(PLOTS))
        );
        for href in hrefs {
            let (status, headers, body) = ask(href, "").await;
            assert_eq!(status, StatusCode::OK, "{href}");
            assert!(headers[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_ne!(headers[header::CONTENT_TYPE], "application/octet-stream", "{href}");
            assert!(!body.is_empty());
        }
    }

    #[test]
    fn the_page_is_joined_of_all_its_files_and_below_150_kb_as_it_is_sent() {
        let files = files();
        let page = Page::of(&files);
        let script = page.parts.iter().find(|part| part.name == SCRIPT).unwrap();
        let text = std::str::from_utf8(&script.plain).unwrap();
        assert!(!text.starts_with("throw"), "{text}");
        for (name, _) in files.iter().filter(|(name, _)| name.ends_with(".js")) {
            let variable = format!("const {} = ", join::variable(name));
            assert!(text.contains(&variable), "{name} is imported by nothing");
        }
        for (name, _) in files.iter().filter(|(name, _)| name.ends_with(".css")) {
            assert!(STYLES.contains(&name.as_str()), "{name} is not among STYLES");
        }
        let sent: usize = page
            .parts
            .iter()
            .map(|part| part.gzip.len().min(part.plain.len()))
            .sum();
        assert!(sent + page.index.len() < 150_000, "{sent} bytes");
    }

    #[tokio::test]
    async fn the_policy_allows_the_one_inline_script_by_its_hash_and_no_other() {
        let (_, headers, index) = ask("/", "").await;
        let index = String::from_utf8(index).unwrap();
        let inline = index.split("<script type=\"importmap\">").nth(1).unwrap();
        let inline = inline.split("</script>").next().unwrap();
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains(&format!("'sha256-{}'", base64(&Sha256::digest(inline)))));
        for rule in [
            "default-src 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "object-src 'none'",
        ] {
            assert!(policy.contains(rule), "{rule}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(index.matches("<script").count(), 2, "the import map and the entry");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
    }

    #[tokio::test]
    async fn tests_types_and_unknown_builds_are_not_served() {
        let build = page().build.clone();
        let missing = [
            "test/sse.test.js",
            "testing/server.js",
            "package.json",
            "types.d.ts",
            "index.html",
            "../Cargo.toml",
            "node_modules/htm/dist/htm.mjs",
        ];
        for file in missing {
            let (status, _, body) = ask(&format!("/ui/{build}/{file}"), "").await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{file}");
            assert!(body.starts_with(br#"{"error":{"code":"not_found""#));
        }
        let (status, headers, body) = ask("/ui/0123456789abcdef/app.js", "").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert!(String::from_utf8(body).unwrap().contains(&build));
    }

    #[tokio::test]
    async fn gzip_is_sent_just_to_who_takes_it_and_is_the_same_text() {
        let href = format!("/ui/{}/vendor/preact.mjs", page().build);
        let (_, headers, plain) = ask(&href, "br, gzip;q=0").await;
        assert!(!headers.contains_key(header::CONTENT_ENCODING));
        let (_, headers, packed) = ask(&href, "deflate, GZIP;q=0.5").await;
        assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
        assert!(packed.len() < plain.len() / 2);
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&packed[..])
            .read_to_end(&mut text)
            .unwrap();
        assert_eq!(text, plain);
    }

    #[test]
    fn base64_is_as_the_standard_has_it() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("\u{3ff}", "z78="),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
