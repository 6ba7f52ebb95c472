//! Secrets that say by how they begin what they are.

/// The characters of what follows the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Letters and digits.
    Alnum,
    /// And `_`.
    Word,
    /// And `-`.
    Url,
    /// And `.`.
    Dotted,
    /// Base64: letters, digits, `+`, `/`, `=`.
    Base64,
    /// Capital letters and digits.
    Upper,
    /// Digits and the letters a to f.
    Hex,
    /// A path of letters and digits.
    Path,
}

impl Class {
    pub(crate) const fn has(self, byte: u8) -> bool {
        match self {
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || byte == b'_',
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'),
            Self::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'),
            Self::Path => byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-'),
        }
    }
}

/// One beginning.
#[derive(Debug)]
pub(crate) struct Prefix {
    pub(crate) kind: &'static str,
    pub(crate) literal: &'static str,
    pub(crate) class: Class,
    /// How many characters follow.
    pub(crate) least: usize,
    pub(crate) most: usize,
    /// Whether what follows must look random: the beginning alone says little.
    pub(crate) random: bool,
}

const fn prefix(kind: &'static str, literal: &'static str, class: Class, least: usize, most: usize) -> Prefix {
    Prefix {
        kind,
        literal,
        class,
        least,
        most,
        random: false,
    }
}

const fn random(kind: &'static str, literal: &'static str, class: Class, least: usize, most: usize) -> Prefix {
    Prefix {
        random: true,
        ..prefix(kind, literal, class, least, most)
    }
}

/// All of them. Where one begins like another, the longer stands first.
pub(crate) const PREFIXES: &[Prefix] = &[
    prefix("anthropic-key", "sk-ant-", Class::Url, 20, 256),
    prefix("openai-key", "sk-proj-", Class::Url, 20, 256),
    prefix("openai-key", "sk-svcacct-", Class::Url, 20, 256),
    prefix("openai-key", "sk-admin-", Class::Url, 20, 256),
    random("openrouter-key", "sk-or-", Class::Url, 20, 128),
    random("openai-key", "sk-", Class::Url, 20, 256),
    prefix("google-key", "AIza", Class::Url, 35, 35),
    prefix("google-secret", "GOCSPX-", Class::Url, 24, 40),
    prefix("google-token", "ya29.", Class::Dotted, 30, 2048),
    prefix("github-token", "github_pat_", Class::Word, 22, 255),
    prefix("github-token", "ghp_", Class::Alnum, 36, 255),
    prefix("github-token", "gho_", Class::Alnum, 36, 255),
    prefix("github-token", "ghu_", Class::Alnum, 36, 255),
    prefix("github-token", "ghs_", Class::Alnum, 36, 255),
    prefix("github-token", "ghr_", Class::Alnum, 36, 255),
    prefix("gitlab-token", "glpat-", Class::Dotted, 20, 300),
    prefix("gitlab-token", "gldt-", Class::Dotted, 20, 300),
    prefix("gitlab-token", "glrt-", Class::Dotted, 20, 300),
    prefix("gitlab-token", "glptt-", Class::Dotted, 20, 300),
    prefix("gitlab-token", "glcbt-", Class::Dotted, 20, 300),
    prefix("gitlab-token", "glsoat-", Class::Dotted, 20, 300),
    prefix("gitlab-token", "glft-", Class::Dotted, 20, 300),
    prefix("gitlab-token", "gloas-", Class::Dotted, 20, 300),
    prefix("aws-key", "AKIA", Class::Upper, 16, 16),
    prefix("aws-key", "ASIA", Class::Upper, 16, 16),
    prefix("aws-key", "ABIA", Class::Upper, 16, 16),
    prefix("aws-signature", "X-Amz-Signature=", Class::Hex, 64, 64),
    prefix("slack-token", "xoxb-", Class::Url, 10, 300),
    prefix("slack-token", "xoxp-", Class::Url, 10, 300),
    prefix("slack-token", "xoxa-", Class::Url, 10, 300),
    prefix("slack-token", "xoxr-", Class::Url, 10, 300),
    prefix("slack-token", "xoxs-", Class::Url, 10, 300),
    prefix("slack-token", "xoxe-", Class::Url, 10, 300),
    prefix("slack-token", "xapp-", Class::Url, 20, 300),
    prefix("slack-webhook", "hooks.slack.com/services/", Class::Path, 20, 120),
    prefix("discord-webhook", "/api/webhooks/", Class::Path, 60, 160),
    prefix("stripe-key", "sk_live_", Class::Alnum, 16, 255),
    prefix("stripe-key", "sk_test_", Class::Alnum, 16, 255),
    prefix("stripe-key", "rk_live_", Class::Alnum, 16, 255),
    prefix("stripe-key", "rk_test_", Class::Alnum, 16, 255),
    random("webhook-secret", "whsec_", Class::Base64, 24, 128),
    prefix("npm-token", "npm_", Class::Alnum, 36, 36),
    prefix("pypi-token", "pypi-AgE", Class::Url, 40, 1024),
    prefix("huggingface-token", "hf_", Class::Alnum, 30, 50),
    prefix("docker-token", "dckr_pat_", Class::Url, 20, 64),
    prefix("digitalocean-token", "dop_v1_", Class::Hex, 64, 64),
    prefix("digitalocean-token", "doo_v1_", Class::Hex, 64, 64),
    prefix("sendgrid-key", "SG.", Class::Dotted, 60, 72),
    prefix("shopify-token", "shpat_", Class::Alnum, 32, 32),
    prefix("groq-key", "gsk_", Class::Alnum, 40, 64),
    prefix("xai-key", "xai-", Class::Alnum, 60, 128),
    prefix("perplexity-key", "pplx-", Class::Alnum, 40, 64),
    prefix("replicate-token", "r8_", Class::Alnum, 37, 40),
    prefix("linear-key", "lin_api_", Class::Alnum, 32, 64),
    prefix("databricks-token", "dapi", Class::Hex, 32, 32),
    prefix("vault-token", "hvs.", Class::Url, 24, 200),
    prefix("grafana-token", "glsa_", Class::Word, 32, 64),
    prefix("sentry-token", "sntrys_", Class::Word, 40, 300),
    prefix("tailscale-key", "tskey-", Class::Url, 20, 100),
    prefix("age-key", "AGE-SECRET-KEY-1", Class::Upper, 58, 58),
    prefix("turnwire-token", "tw_", Class::Hex, 64, 64),
    prefix("turnwire-token", "tk_", Class::Hex, 64, 64),
];
