//! The page: plain ES modules, embedded as they stand in `ui/`. Built by nothing; what is in git is what runs. It is sent without its
//! comments, its modules and its style sheets each as one.
//!
//! The index names every part under a path with the hash of all of them, so each part may be cached for ever and a new
//! release never mixes with an old one. A debug build reads the parts from disk: edit, reload.

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
use turnwire_proto::{Code, path};

use super::{Refusal, bundle::bundle, lean::lean};

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

/// What the page's own modules are sent as: the one that begins, and all that it imports.
const MODULES: &str = "app.js";
/// What its style sheets are sent as: those that the frame links, in its order.
const STYLES: &str = "style.css";

/// What modules import by name, and the part that answers it.
const IMPORTS: [(&str, &str); 6] = [
    ("preact", "vendor/preact.mjs"),
    ("preact/hooks", "vendor/hooks.mjs"),
    ("@preact/signals-core", "vendor/signals-core.mjs"),
    ("@preact/signals", "vendor/signals.mjs"),
    ("htm", "vendor/htm.mjs"),
    ("uplot", PLOTS),
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
        let frame = files.iter().find(|(name, _)| name == INDEX);
        // The frame is part of the crate: without it the page is empty, and the test below fails.
        let frame = frame
            .map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned())
            .unwrap_or_default();
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let sheets: Vec<&str> = frame.lines().filter_map(sheet).collect();
        let styles = sheets
            .iter()
            .filter_map(|sheet| files.iter().find(|(name, _)| name == sheet));
        let styles: String = styles.map(|(_, bytes)| text(bytes)).collect();
        let sources: Vec<_> = files
            .iter()
            .filter(|(name, _)| is_module(name))
            .map(|(name, bytes)| (name.as_str(), text(bytes)))
            .collect();
        let modules = bundle(
            &sources.iter().map(|(name, text)| (*name, text.as_str())).collect(),
            MODULES,
        );
        // A test keeps it from happening; who edits the page is told by the page.
        let modules = modules.unwrap_or_else(|why| format!("throw new Error({why:?});"));
        let mut parts = vec![
            Part::of(MODULES, lean(&modules, "/**").into()),
            Part::of(STYLES, lean(&styles, "/*").into()),
        ];
        let others = files
            .iter()
            .filter(|(name, _)| name != INDEX && !is_module(name) && !sheets.contains(&name.as_str()));
        parts.extend(others.map(|(name, bytes)| Part::of(name, bytes.clone())));
        let imports = import_map(&build);
        Self {
            index: Bytes::from(fill(&frame, &build, &imports, &parts)),
            policy: policy(&imports),
            build,
            parts,
        }
    }
}

/// The style sheet that a line of the frame links.
fn sheet(line: &str) -> Option<&str> {
    line.strip_prefix(r#"<link rel="stylesheet" href="/ui/{build}/"#)?
        .strip_suffix(r#"">"#)
}

/// Whether it is one of the page's own modules: what others have written is sent as it came.
fn is_module(name: &str) -> bool {
    name.ends_with(".js")
}

impl Part {
    fn of(name: &str, plain: Bytes) -> Self {
        let media = match name.rsplit_once('.').map(|(_, end)| end) {
            Some("js" | "mjs") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "application/octet-stream",
        };
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        // Writing to memory does not fail; if it did, the plain bytes would be sent.
        let gzip = encoder.write_all(&plain).and_then(|()| encoder.finish());
        Self {
            name: name.to_owned(),
            media,
            gzip: gzip.map_or_else(|_| plain.clone(), Bytes::from),
            plain,
        }
    }
}

fn import_map(build: &str) -> String {
    let imports = IMPORTS.map(|(name, part)| format!(r#""{name}":"/ui/{build}/{part}""#));
    format!(r#"{{"imports":{{{}}}}}"#, imports.join(","))
}

/// Puts the import map and a preload of every module into the frame, but of what one view alone needs: all load at once, not one
/// import after another.
fn fill(frame: &str, build: &str, imports: &str, parts: &[Part]) -> String {
    let modules = parts
        .iter()
        .filter(|part| part.media.starts_with("text/javascript") && part.name != PLOTS);
    let preloads: String = modules
        .map(|part| format!("<link rel=\"modulepreload\" href=\"/ui/{build}/{}\">\n", part.name))
        .collect();
    let head = format!("<script type=\"importmap\">{imports}</script>\n{preloads}");
    let is_first = |line: &&str| sheet(line).is_none_or(|name| name == STYLES);
    let frame: String = frame
        .split_inclusive('\n')
        .filter(|line| is_first(&line.trim_end()))
        .collect();
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
        for wanted in ["app.js", "vendor/preact.mjs", "style.css", "icon.svg"] {
            assert!(hrefs.iter().any(|href| href.ends_with(wanted)), "{wanted}");
        }
        let preloaded: Vec<_> = index.lines().filter(|line| line.contains("modulepreload")).collect();
        assert!(
            preloaded.iter().any(|line| line.contains("app.js")) && !preloaded.iter().any(|line| line.contains(PLOTS))
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
    async fn modules_and_style_sheets_are_sent_as_one_each_in_their_order_without_comments() {
        let (_, _, index) = ask("/", "").await;
        let index = String::from_utf8(index).unwrap();
        assert_eq!(index.matches("stylesheet").count(), 1);
        let href = hrefs(&index).into_iter().find(|href| href.ends_with(STYLES)).unwrap();
        let (_, _, body) = ask(href, "").await;
        let body = String::from_utf8(body).unwrap();
        let places: Vec<_> = [":root", ".switch {"]
            .iter()
            .map(|text| body.find(text).unwrap())
            .collect();
        assert!(places.is_sorted(), "{places:?}");
        assert!(!body.contains("/*"));
        let (_, _, app) = ask(&href.replace(STYLES, "app.js"), "").await;
        let app = String::from_utf8(app).unwrap();
        assert!(
            app.starts_with("import ") && app.contains("SessionPage") && !app.contains("/**"),
            "{app}"
        );
    }

    /// What a reader loads of it in all: the page is to be there at once over a bad link, too.
    #[test]
    fn all_of_the_page_is_small() {
        let page = page();
        let sum: usize = page
            .parts
            .iter()
            .map(|part| part.gzip.len().min(part.plain.len()))
            .sum();
        let sum = sum + page.index.len();
        assert!(sum < 150_000, "{sum} bytes");
    }

    #[tokio::test]
    async fn tests_types_and_unknown_builds_are_not_served() {
        let build = page().build.clone();
        let missing = [
            "test/sse.test.js",
            "view/session.js",
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
