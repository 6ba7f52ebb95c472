//! Whether a value looks like a secret: made by chance, not by a person who names things.

/// The longest value of a name that is looked at.
pub(crate) const LONGEST: usize = 1024;

/// What tells a value apart.
struct Counts {
    digits: usize,
    letters: usize,
    different: usize,
    bits: f64,
}

fn counts(text: &str) -> Counts {
    let mut seen = [0_u32; 256];
    for byte in text.bytes() {
        seen[usize::from(byte)] += 1;
    }
    let length = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    let share = |count: &u32| f64::from(*count) / length;
    let used = seen.iter().filter(|count| **count > 0);
    Counts {
        digits: text.bytes().filter(u8::is_ascii_digit).count(),
        letters: text.bytes().filter(u8::is_ascii_alphabetic).count(),
        different: used.clone().count(),
        bits: -used.map(|count| share(count) * share(count).log2()).sum::<f64>(),
    }
}

/// What follows a beginning that says little, or a scheme of authorization: a stretch of it mixes digits and letters, as no
/// word does.
pub(crate) fn is_random(text: &str, least: usize) -> bool {
    if text.len() < least {
        return false;
    }
    let mixed = text.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| {
        let Counts { digits, letters, .. } = counts(part);
        part.len() >= 10 && digits >= 2 && letters >= 2
    });
    let all = counts(text);
    mixed && all.bits >= 2.8 || text.len() >= 24 && all.bits >= 4.1 && !text.contains(char::is_whitespace)
}

/// What is assigned to a name such as `password`: people make these up, so less is asked of them.
pub(crate) fn is_password(value: &str) -> bool {
    if value.len() < 8 || value.len() > 256 || stands_for_another(value) {
        return false;
    }
    let Counts {
        digits,
        letters,
        different,
        ..
    } = counts(value);
    let symbols = value.bytes().filter(u8::is_ascii_punctuation).count();
    different >= 5 && digits >= 1 && letters >= 1 && (digits >= 2 || symbols >= 1 || different >= 8)
}

/// What is assigned to a name such as `token`: it is made by a program.
pub(crate) fn is_token(value: &str) -> bool {
    if value.len() > LONGEST || stands_for_another(value) {
        return false;
    }
    let Counts {
        digits,
        letters,
        different,
        bits,
    } = counts(value);
    if value.len() < 12 || value.contains(char::is_whitespace) {
        return false;
    }
    let mixed = digits >= 2 && letters >= 2 && different >= 7 && bits >= 2.8;
    mixed && longest_part(value) >= 8 || value.len() >= 24 && bits >= 4.1 && digits >= 1
}

/// The longest stretch of letters and digits.
fn longest_part(value: &str) -> usize {
    let parts = value.split(|c: char| !c.is_ascii_alphanumeric());
    parts.map(str::len).max().unwrap_or(0)
}

/// A value that is filled in elsewhere: a variable, a template, a path, an address, a call.
fn stands_for_another(value: &str) -> bool {
    const BEGINS: &[&str] = &[
        "$",
        "/",
        "./",
        "../",
        "~/",
        "http://",
        "https://",
        "file:",
        "[redacted:",
        "%",
        "@",
        "&",
        "-",
    ];
    const HAS: &[&str] = &[
        "${", "{{", "$(", "<", ">", "***", "...", "…", "::", "()", "xxxx", "XXXX", ":\\",
    ];
    if BEGINS.iter().any(|begin| value.starts_with(begin)) || HAS.iter().any(|part| value.contains(part)) {
        return true;
    }
    let small = value.to_ascii_lowercase();
    ["your", "changeme", "placeholder", "redacted"]
        .iter()
        .any(|word| small.contains(word))
        || is_path(value)
}

/// `process.env.TOKEN1`, `self.token2`: names with dots between, and no part that is only digits.
fn is_path(value: &str) -> bool {
    let name = |part: &str| {
        let mut bytes = part.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && part.bytes().filter(u8::is_ascii_digit).count() <= 2
    };
    value.contains('.') && value.split('.').all(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_chance_made_is_told_from_what_people_name() {
        for text in [
            "9f86d081884c7d659a2f",
            "aB3dE6gH9jK2mN5pQ8sT",
            "qWeRtYuIoPaSdFgHjKlZxCvBnMqWpO",
        ] {
            assert!(is_random(text, 16), "{text}");
        }
        for text in [
            "learn-contrib-something-long",
            "authorization_required",
            "token_for_user_1_and_more",
            "short1",
        ] {
            assert!(!is_random(text, 16), "{text}");
        }
        for value in ["S3cr3tP4ss!", "hunter2hunter2", "correct1horse"] {
            assert!(is_password(value), "{value}");
        }
        for value in [
            "password",
            "${DB_PASS1}",
            "/run/secrets/db1",
            "user.password1",
            "your-password-123",
            "<pass1234>",
        ] {
            assert!(!is_password(value), "{value}");
        }
        for value in [
            "process.env.TOKEN1",
            "next_page_token",
            "12345678901234",
            "string",
            "tokens12",
        ] {
            assert!(!is_token(value), "{value}");
        }
        assert!(is_token("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"));
        assert!(is_token("a1b2c3d4e5f6a7b8"));
    }
}
