//! The cookie of a paired browser. Its value is a token that no script can read.

use http::{HeaderMap, HeaderValue, header};

use super::secret::Secret;

/// The cookie's name.
pub const COOKIE: &str = "turnwire_session";
/// How long a browser keeps it at the most: 400 days, the limit of RFC 6265bis section 5.5. The token's own end is the server's
/// to know.
const MAX_AGE_SECS: u64 = 400 * 86_400;

/// The token in the cookie, if there is one.
pub(crate) fn session(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(name, value)| (name.trim() == COOKIE).then_some(value.trim()))
}

/// Sets the cookie: for this host alone, not for scripts, not from other sites, over https only when the page came so.
pub(crate) fn set(secret: &Secret, secure: bool) -> HeaderValue {
    header_value(secret.expose(), MAX_AGE_SECS, secure)
}

/// Removes the cookie.
pub(crate) fn remove(secure: bool) -> HeaderValue {
    header_value("", 0, secure)
}

fn header_value(value: &str, max_age: u64, secure: bool) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{COOKIE}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={max_age}{secure}");
    let mut value = HeaderValue::from_str(&text).expect("a secret is letters and digits");
    // So that no layer that prints headers prints it.
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        assert_eq!(session(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; xturnwire_session=no"));
        assert_eq!(session(&headers), None);
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("c; turnwire_session=tw_1; d=e"),
        );
        assert_eq!(session(&headers), Some("tw_1"));
    }

    #[test]
    fn a_cookie_is_for_this_site_and_not_for_scripts() {
        let secret = Secret::token();
        let value = set(&secret, true);
        assert_eq!(
            value.to_str().unwrap(),
            format!(
                "turnwire_session={}; HttpOnly; SameSite=Strict; Path=/; Max-Age=34560000; Secure",
                secret.expose()
            )
        );
        assert_eq!(format!("{value:?}"), "Sensitive");
        assert!(!set(&secret, false).to_str().unwrap().contains("Secure"));
    }
}
