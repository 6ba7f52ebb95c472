//! The self-test: of each kind something that must be replaced, and what is like it and must stay.
//!
//! The samples are put together here from halves, so that no scanner of source code takes them for somebody's.

use crate::{Kinds, Redactor};

/// Of each kind, what must be replaced: what stands before the secret, the two halves of it, what stands behind it.
const SECRETS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "anthropic-key",
        "key: ",
        "sk-ant-",
        "api03-R2D2c3po4567_89abcdefGHIJKLMNOPqrstuvwxyz-0123456789abAA",
        ".",
    ),
    ("openai-key", "", "sk-proj-", "Q3xT9vKd82LmZp0aWcY7RfB1nHsJ4gUe", ""),
    (
        "openai-key",
        "use ",
        "sk-",
        "9aB8cD7eF6gH5iJ4kL3mN2oP1qR0sT9uV8wX7yZ6aB5cD4eF",
        " here",
    ),
    (
        "openrouter-key",
        "",
        "sk-or-",
        "v1-0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "",
    ),
    (
        "google-key",
        "?key=",
        "AIza",
        "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
        "&x=1",
    ),
    ("google-secret", "", "GOCSPX-", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4", ""),
    (
        "google-token",
        "",
        "ya29.",
        "a0AfH6SMBx7Q9w8E7r6T5y4U3i2O1p0aSdFgHjKl",
        "",
    ),
    ("github-token", "", "ghp_", "0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R", ""),
    (
        "github-token",
        "https://",
        "ghs_",
        "0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R",
        "@github.com/a/b",
    ),
    (
        "github-token",
        "",
        "github_pat_",
        "11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ0123456789",
        "",
    ),
    ("gitlab-token", "", "glpat-", "a1B2c3D4e5F6g7H8i9J0", ""),
    ("aws-key", "", "AKIA", "Q3EGRZ7EXAMPLE42", ""),
    (
        "secret",
        "aws_secret_access_key = ",
        "wJalrXUtnFEMI/K7MDENG/",
        "bPxRfiCYz4XAMPLEKEY",
        "",
    ),
    (
        "slack-token",
        "",
        "xoxb-",
        "123456789012-1234567890123-a1B2c3D4e5F6g7H8i9J0k1L2",
        "",
    ),
    (
        "slack-webhook",
        "https://",
        "hooks.slack.com/services/",
        "T0AB1CD2E/B0AB1CD2E/a1B2c3D4e5F6g7H8i9J0k1L2",
        "",
    ),
    ("stripe-key", "", "sk_live_", "a1B2c3D4e5F6g7H8i9J0k1L2", ""),
    (
        "npm-token",
        "//registry.npmjs.org/:_authToken=",
        "npm_",
        "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
        "",
    ),
    (
        "pypi-token",
        "",
        "pypi-AgE",
        "IcHlwaS5vcmcCJDAxMjM0NTY3LTg5YWItY2RlZi0wMTIzNDU2Nzg5YWIAAip",
        "",
    ),
    ("huggingface-token", "", "hf_", "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH", ""),
    ("docker-token", "", "dckr_pat_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N", ""),
    (
        "sendgrid-key",
        "",
        "SG.",
        "a1B2c3D4e5F6g7H8i9J0kw.a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V",
        "",
    ),
    (
        "groq-key",
        "",
        "gsk_",
        "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6",
        "",
    ),
    (
        "turnwire-token",
        "TURNWIRE_TOKEN=",
        "tw_",
        "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "",
    ),
    (
        "jwt",
        "",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
        "eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "",
    ),
    ("bearer-token", "-H 'X: Bearer ", "a1B2c3D4e5F6g7H8", "i9J0k1L2", "'"),
    (
        "authorization",
        "Authorization: Basic ",
        "dXNlcjpodW50",
        "ZXIyaHVudGVyMg==",
        "\n",
    ),
    (
        "private-key",
        "",
        "-----BEGIN RSA PRIVATE ",
        "KEY-----\nMIIEpAIBAAKCAQEA7bq0\nq9c=\n-----END RSA PRIVATE KEY-----",
        "\n",
    ),
    (
        "private-key",
        "{\"key\":\"",
        "-----BEGIN PRIVATE ",
        "KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQ\\n-----END PRIVATE KEY-----",
        "\\n\"}",
    ),
    (
        "url-password",
        "postgres://app:",
        "s3cr3t-",
        "pw",
        "@db.example.org:5432/app",
    ),
    ("password", "password=", "Tr0ub4dor", "&3", ""),
    ("password", "{\"db_password\": \"", "correct7horse", "battery!", "\"}"),
    ("token", "--token ", "a1b2c3d4e5f6", "a7b8c9d0e1f2", " --yes"),
    ("api-key", "X-Api-Key: ", "a1B2c3D4e5F6", "g7H8i9J0k1L2", ""),
    ("secret", "client_secret='", "a1B2c3D4e5F6", "g7H8i9J0k1L2", "'"),
];

/// What is like a secret and none.
const NEAR: &[(&str, &str)] = &[
    ("a UUID", "session 0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10 began"),
    ("a commit", "commit 9b0dc03f6a1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f"),
    (
        "a sha256 sum",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  empty",
    ),
    (
        "an integrity hash",
        "\"integrity\": \"sha512-a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6==\"",
    ),
    (
        "an image",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    ),
    (
        "a package",
        "pip install sk-learn-contrib sk-image-extras-long-name-of-a-package",
    ),
    (
        "words with a beginning",
        "risk-based task-oriented disk-encryption-with-luks npm_config_registry hf_hub_download_with_retries",
    ),
    (
        "prose",
        "The password must have 12 characters, and the token: see below. Bearer authentication is required.",
    ),
    (
        "counts",
        "{\"input_tokens\":12034,\"output_tokens\":512,\"max_tokens\":4096,\"cache_read_input_tokens\":90210}",
    ),
    (
        "a page's cursor",
        "{\"next_page_token\":\"CAESBgoEMTIzNA1b2c3d4e5f6\",\"nextToken\":\"a1b2c3d4e5f6a7b8c9\"}",
    ),
    (
        "a type",
        "interface Login { password: string; token: Option<String>; secret: Uint8Array }",
    ),
    (
        "a program",
        "const token = process.env.GITHUB_TOKEN; let password = hash_password2(user.password1);",
    ),
    (
        "a shell",
        "export TOKEN=$(gh auth token) PASSWORD=${DB_PASSWORD_2} SECRET=/run/secrets/db_1",
    ),
    (
        "a placeholder",
        "api_key = \"your-api-key-1234567890\" password=<password1> token=xxxxxxxxxxxx1234",
    ),
    (
        "minified code",
        "function a(e,t){return e.token?e.token===t.token:\"eyJ\"+t.k.slice(0,16)};var sk=1,b=e=>e.key;",
    ),
    (
        "an address",
        "https://example.org:8080/@scope/package?x=1 ssh://git@example.org:22/a.git https://medium.com/@user",
    ),
    (
        "a template of an address",
        "postgres://${USER}:${PASSWORD}@localhost/db redis://:{password}@host",
    ),
    (
        "a public key",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----",
    ),
    (
        "ids of calls",
        "toolu_01A2b3C4d5E6f7G8h9J0k1L2 call_a1B2c3D4e5F6g7H8i9J0k1L2 msg_01XyZ9w8V7u6T5s4R3q2P1o0",
    ),
    (
        "a place of a key",
        "\"apiKeySource\":\"ANTHROPIC_API_KEY\",\"token_file\":\"/var/run/token-1234\"",
    ),
    (
        "a marker",
        "Authorization: Bearer [redacted:bearer-token:1a2b3c4d] password=[redacted:password:0a1b2c3d]",
    ),
];

/// What the self-test found of one sample.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The kind that it must be replaced as, or what it is like.
    pub name: &'static str,
    /// Whether something of it must be replaced.
    pub secret: bool,
    /// Whether what happened is what must.
    pub right: bool,
    /// What became of it.
    pub text: String,
}

/// All texts: `(name, text, secret)`; without a secret nothing may be replaced.
#[must_use]
pub fn all() -> Vec<(&'static str, String, Option<String>)> {
    let secrets = SECRETS.iter().map(|(kind, before, first, second, behind)| {
        let hidden = format!("{first}{second}");
        (*kind, format!("{before}{hidden}{behind}"), Some(hidden))
    });
    let near = NEAR.iter().map(|(name, text)| (*name, (*text).to_owned(), None));
    secrets.chain(near).collect()
}

/// Runs it.
#[must_use]
pub fn run(redactor: &Redactor) -> Vec<Outcome> {
    let outcome = |(name, text, secret): (&'static str, String, Option<String>)| {
        let (after, kinds) = redactor.text(&text).unwrap_or_else(|| (text.clone(), Kinds::new()));
        let right = match &secret {
            Some(hidden) => kinds.iter().any(|kind| **kind == *name) && !after.contains(hidden.as_str()),
            None => after == text,
        };
        Outcome {
            name,
            secret: secret.is_some(),
            right,
            text: after,
        }
    };
    all().into_iter().map(outcome).collect()
}
