//! The cookie of a paired browser. Its value is a token that no script can read.

use http::{HeaderMap, HeaderValue, header};
use turnwire_proto::Epoch;

use super::secret::Secret;

/// What its name begins with. Behind it is which gateway it is of: a browser sends a cookie to every port of a host and keeps one of
/// a name, so that two gateways on one host would sign one another out.
pub const COOKIE: &str = "turnwire_session";
/// How long a browser keeps it at the most: 400 days, the limit of RFC 6265bis section 5.5. The token's own end is the server's
/// to know.
const MAX_AGE_SECS: u64 = 400 * 86_400;

/// The name of the cookie of the gateway whose log this is.
pub(super) fn name(epoch: Epoch) -> String {
    let epoch = epoch.to_string();
    format!("{COOKIE}_{}", &epoch[..8])
}

/// Whether there is a cookie of any gateway.
pub(crate) fn is_there(headers: &HeaderMap) -> bool {
    pairs(headers).any(|(name, _)| name.starts_with(COOKIE))
}

/// The token in the cookie of this name, if there is one.
pub(super) fn session<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    pairs(headers).find_map(|(of, value)| (of == name).then_some(value))
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
}

/// Sets the cookie: for this host alone, not for scripts, not from other sites, over https only when the page came so.
pub(super) fn set(name: &str, secret: &Secret, secure: bool) -> HeaderValue {
    header_value(name, secret.expose(), MAX_AGE_SECS, secure)
}

/// Removes the cookie.
pub(super) fn remove(name: &str, secure: bool) -> HeaderValue {
    header_value(name, "", 0, secure)
}

fn header_value(name: &str, value: &str, max_age: u64, secure: bool) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={max_age}{secure}");
    let mut value = HeaderValue::from_str(&text).expect("a name and a secret are letters and digits");
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
        let ours = "turnwire_session_5b1e4f0e";
        assert_eq!(session(&headers, ours), None);
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("a=b; xturnwire_session_5b1e4f0e=no"),
        );
        assert!(session(&headers, ours).is_none() && !is_there(&headers));
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("turnwire_session_11111111=tw_2"),
        );
        assert!(
            session(&headers, ours).is_none() && is_there(&headers),
            "it is of another gateway"
        );
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("c; turnwire_session_5b1e4f0e=tw_1; d=e"),
        );
        assert_eq!(session(&headers, ours), Some("tw_1"));
    }

    #[test]
    fn a_cookie_is_for_this_site_and_not_for_scripts() {
        let secret = Secret::token();
        let value = set(COOKIE, &secret, true);
        assert_eq!(
            value.to_str().unwrap(),
            format!(
                "turnwire_session={}; HttpOnly; SameSite=Strict; Path=/; Max-Age=34560000; Secure",
                secret.expose()
            )
        );
        assert_eq!(format!("{value:?}"), "Sensitive");
        assert!(!set(COOKIE, &secret, false).to_str().unwrap().contains("Secure"));
    }
}
