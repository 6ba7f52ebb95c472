//! `connect`: what makes an unchanged agent report here by OpenTelemetry. Nothing is written but a token in the gateway.

use std::process::ExitCode;

use reqwest::{Method, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use turnwire_client::{Endpoint, Error, Place};
use turnwire_proto::{Code, path};

use crate::{
    args::{Connect, ConnectShell as Shell, ConnectWho as Who},
    exit, out,
};

/// What an agent is to be told.
struct Told {
    env: Vec<(&'static str, String)>,
    /// Lines for a file of settings: its name, and the text.
    settings: Option<(&'static str, String)>,
    /// What a person should know.
    remark: &'static str,
}

pub(crate) async fn connect(args: Connect) -> anyhow::Result<ExitCode> {
    let (url, token) = gateway_and_token(&args).await?;
    let told = told(&args, &url, token.as_deref());
    if args.json {
        let env: Map<String, Value> = told
            .env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        let mut shown = json!({ "env": env });
        if let Some((file, text)) = &told.settings {
            shown["settings"] = json!({"file": file, "text": text});
        }
        out::print_json(&shown)?;
        return Ok(ExitCode::SUCCESS);
    }
    out::print(&shown(&told, args.shell))?;
    if token.is_some() {
        out::say(
            "this holds a token: who has it may publish here. `turnwire token list` shows it, `turnwire token revoke ID` ends it",
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the gateway is, without the last slash, and what to prove oneself with; `None` where nobody is asked.
async fn gateway_and_token(args: &Connect) -> anyhow::Result<(String, Option<String>)> {
    let place = Place {
        url: args.url.clone(),
        // It asks for the new token as any other command asks.
        token: Place::from_env().token,
        data_dir: args.data_dir.clone(),
    };
    let bare = |url: &str| url.trim_end_matches('/').to_owned();
    if let (Some(token), Some(url)) = (&args.token, &args.url) {
        // Not asked about anything, so it need not be there yet.
        return Ok((bare(url), Some(token.clone())));
    }
    let endpoint = place.endpoint().map_err(exit::from_client)?;
    let token = match &args.token {
        Some(token) => Some(token.clone()),
        None => make(&endpoint, args.who).await?,
    };
    Ok((bare(endpoint.url().as_str()), token))
}

async fn make(endpoint: &Endpoint, who: Who) -> anyhow::Result<Option<String>> {
    #[derive(Deserialize)]
    struct Made {
        token: String,
    }
    let name = match who {
        Who::Claude => "otlp claude",
        Who::Codex => "otlp codex",
        Who::Gemini => "otlp gemini",
        Who::Otel => "otlp",
    };
    let body = json!({"name": name, "scopes": ["publish"]}).to_string();
    let request = endpoint.request(Method::POST, path::TOKENS);
    let request = request.header(CONTENT_TYPE, "application/json").body(body);
    match endpoint.json::<Made>(request).await {
        Ok(made) => Ok(Some(made.token)),
        // A gateway without authentication has no tokens.
        Err(error) if error.code() == Some(Code::Conflict) => Ok(None),
        Err(error) => Err(refused(error)),
    }
}

fn refused(error: Error) -> anyhow::Error {
    match error.code() {
        Some(Code::Forbidden | Code::Unauthorized) => exit::failure(
            exit::NO_PERMISSION,
            format!("{error}; who is no administrator says with --token which token to print"),
        ),
        _ => exit::from_client(error),
    }
}

fn told(args: &Connect, url: &str, token: Option<&str>) -> Told {
    // Values of this variable are percent-encoded; Claude Code takes them as they are.
    let space = if args.who == Who::Claude { " " } else { "%20" };
    let headers = token.map(|token| {
        let value = format!("Authorization=Bearer{space}{token}");
        ("OTEL_EXPORTER_OTLP_HEADERS", value)
    });
    let agent = args.agent.as_ref().map(|name| {
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            format!("turnwire.agent={}", encoded(name.as_str())),
        )
    });
    let mut env: Vec<(&'static str, String)> = Vec::new();
    let mut set =
        |pairs: &[(&'static str, &str)]| env.extend(pairs.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let remark = match args.who {
        Who::Claude => {
            set(&[
                ("CLAUDE_CODE_ENABLE_TELEMETRY", "1"),
                ("OTEL_LOGS_EXPORTER", "otlp"),
                ("OTEL_LOGS_EXPORT_INTERVAL", "1000"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
            ]);
            if !args.no_content {
                set(&[
                    ("OTEL_LOG_USER_PROMPTS", "1"),
                    ("OTEL_LOG_ASSISTANT_RESPONSES", "1"),
                    ("OTEL_LOG_TOOL_DETAILS", "1"),
                ]);
            }
            "Claude Code that is started with these variables reports to this gateway"
        }
        Who::Gemini => {
            set(&[
                ("GEMINI_TELEMETRY_ENABLED", "true"),
                ("GEMINI_TELEMETRY_TARGET", "local"),
                ("GEMINI_TELEMETRY_OTLP_PROTOCOL", "http"),
                ("GEMINI_TELEMETRY_OTLP_ENDPOINT", url),
                (
                    "GEMINI_TELEMETRY_LOG_PROMPTS",
                    if args.no_content { "false" } else { "true" },
                ),
            ]);
            "Gemini CLI that is started with these variables reports to this gateway"
        }
        Who::Otel => {
            set(&[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
                ("OTEL_TRACES_EXPORTER", "otlp"),
                ("OTEL_LOGS_EXPORTER", "otlp"),
                ("OTEL_METRICS_EXPORTER", "none"),
                ("OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai_latest_experimental"),
            ]);
            if !args.no_content {
                set(&[("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")]);
            }
            "a program with an OpenTelemetry SDK that is started with these variables reports to this gateway"
        }
        Who::Codex => {
            let settings = codex(url, token, !args.no_content);
            return Told {
                env: agent.into_iter().collect(),
                settings: Some(("~/.codex/config.toml", settings)),
                remark: "for ~/.codex/config.toml, which must not have a table [otel] yet",
            };
        }
    };
    env.extend(headers);
    env.extend(agent);
    Told {
        env,
        settings: None,
        remark,
    }
}

/// Codex reads its settings only.
fn codex(url: &str, token: Option<&str>, content: bool) -> String {
    // Strings of TOML are those of JSON, as far as a URL and a token go.
    let text = |text: &str| Value::from(text).to_string();
    let headers = token.map_or_else(String::new, |token| {
        format!(
            ", headers = {{ \"authorization\" = {} }}",
            text(&format!("Bearer {token}"))
        )
    });
    let endpoint = text(&format!("{url}{}", path::OTLP_LOGS));
    format!(
        "[otel]\nlog_user_prompt = {content}\nexporter = {{ otlp-http = {{ endpoint = {endpoint}, protocol = \"binary\"{headers} }} }}"
    )
}

/// As values of `OTEL_RESOURCE_ATTRIBUTES` are.
fn encoded(text: &str) -> String {
    turnwire_client::filled("{text}", text)
}

fn shown(told: &Told, shell: Shell) -> String {
    let mut lines = vec![format!("# {}", told.remark)];
    lines.extend(told.settings.iter().map(|(_, text)| text.clone()));
    // Beside settings, a variable is for a person to set: what is printed goes into the file.
    let prefix = if told.settings.is_some() {
        "# and in its environment: "
    } else {
        ""
    };
    lines.extend(
        told.env
            .iter()
            .map(|(name, value)| format!("{prefix}{}", variable(shell, name, value))),
    );
    lines.join("\n")
}

fn variable(shell: Shell, name: &str, value: &str) -> String {
    match shell {
        Shell::Posix => format!("export {name}='{}'", value.replace('\'', r"'\''")),
        Shell::Fish => format!("set -gx {name} '{}'", value.replace('\\', r"\\").replace('\'', r"\'")),
        Shell::Powershell => format!("$env:{name} = '{}'", value.replace('\'', "''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_word_in_every_shell() {
        let value = r"it's a \ $HOME";
        assert_eq!(variable(Shell::Posix, "A", value), r"export A='it'\''s a \ $HOME'");
        assert_eq!(variable(Shell::Fish, "A", value), r"set -gx A 'it\'s a \\ $HOME'");
        assert_eq!(variable(Shell::Powershell, "A", value), r"$env:A = 'it''s a \ $HOME'");
    }

    #[test]
    fn the_settings_are_toml() {
        let settings: toml::Table = codex("http://127.0.0.1:1", Some("tw_x"), true).parse().unwrap();
        let exporter = &settings["otel"]["exporter"]["otlp-http"];
        assert_eq!(exporter["endpoint"].as_str(), Some("http://127.0.0.1:1/v1/logs"));
        assert_eq!(exporter["headers"]["authorization"].as_str(), Some("Bearer tw_x"));
    }
}
