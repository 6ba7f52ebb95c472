//! Webhooks: the real program with a configuration file, called as services call it. `docs/protocol.md`, W1 to W11.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::Stdio,
};

use ring::hmac;
use serde_json::{Value, json};

use crate::{
    api::get,
    world::{Served, World, serve, stdout},
};

/// GitHub's example secret.
pub(crate) const SECRET: &str = "It's a Secret to Everybody";

const GITHUB: &str = r#"
[[webhook]]
name = "github"
agent = "github"
type_header = "X-GitHub-Event"
delivery_header = "X-GitHub-Delivery"
signature = { header = "X-Hub-Signature-256", prefix = "sha256=", secret_file = "SECRET" }

[webhook.map]
session_id = "/repository/full_name"
text = "/comment/body"
role = "user"
tool = "/workflow_run/name"
tool_call_id = "/workflow_run/id"
success = "/workflow_run/conclusion"
kinds = { issue_comment = "message", workflow_run = "tool_call", forged = "command" }
"#;

/// Writes the configuration, in which `SECRET` is a file with this secret.
pub(crate) fn configure(world: &World, text: &str, secret: &str) {
    let file = world.path("secret");
    fs::write(&file, format!("{secret}\n")).unwrap();
    fs::create_dir_all(world.data_dir()).unwrap();
    let text = text.replace("\"SECRET\"", &format!("{:?}", file.to_str().unwrap()));
    fs::write(world.data_dir().join("turnwire.toml"), text).unwrap();
}

struct Reply {
    status: u16,
    body: Value,
}

impl Reply {
    #[track_caller]
    fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// The refusal's reason, or its field where it has none.
    #[track_caller]
    fn refused(self, status: u16) -> (String, String) {
        assert_eq!(self.status, status, "{}", self.body);
        let detail = |name: &str| {
            self.body["error"]["details"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        (detail("reason"), detail("field"))
    }
}

/// Sends what a service sends.
fn call(served: &Served, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Reply {
    let (host, body) = (
        served.ready["url"].as_str().unwrap().strip_prefix("http://").unwrap(),
        body.as_ref(),
    );
    let mut head = format!(
        "POST {path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut socket = TcpStream::connect(host).unwrap();
    socket.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    // One that is refused by its head is not read to its end.
    let _ = socket.write_all(body);
    let mut answer = String::new();
    let _ = socket.read_to_string(&mut answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    Reply {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        body: serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}")),
    }
}

fn hex(secret: &str, signed: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, signed.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What GitHub sends of an event.
fn github(served: &Served, kind: &str, delivery: &str, body: &Value) -> Reply {
    let body = body.to_string();
    let signature = format!("sha256={}", hex(SECRET, &body));
    let headers = [
        ("X-GitHub-Event", kind),
        ("X-GitHub-Delivery", delivery),
        ("X-Hub-Signature-256", &signature),
    ];
    call(served, "/api/webhooks/github", &headers, body)
}

fn events(world: &World) -> Vec<Value> {
    let page = get(world, "/api/events/history?limit=1000&after=0&raw=1");
    page["events"].as_array().unwrap().clone()
}

fn metric(served: &Served, line: &str) -> bool {
    let host = served.ready["url"].as_str().unwrap().strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(host).unwrap();
    write!(socket, "GET /metrics HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    text.lines().any(|it| it == line)
}

/// W1, W2, W6, W7: types come from a header, sessions from the body, the section's agent is everybody's.
#[test]
fn a_delivery_becomes_the_events_that_the_mapping_says_with_the_body_as_it_came() {
    let world = World::new();
    configure(&world, GITHUB, SECRET);
    let served = serve(&world, &[]);
    let comment = json!({"repository": {"full_name": "ada/engine"}, "comment": {"body": "LGTM"}, "sender": {"type": "User"}, "agent": "forged", "session_id": "forged"});
    assert_eq!(github(&served, "issue_comment", "1", &comment).ok()["written"], 1);
    let run = json!({"repository": {"full_name": "ada/engine"}, "workflow_run": {"id": 7, "name": "CI", "conclusion": "success"}});
    github(&served, "workflow_run", "2", &run).ok();
    // What no mapping knows is a note, also where it claims to be an order.
    github(
        &served,
        "star",
        "3",
        &json!({"repository": {"full_name": "ada/engine"}}),
    )
    .ok();
    github(&served, "forged", "4", &json!({"agent_id": "x"})).ok();
    let all = events(&world);
    let told: Vec<_> = all
        .iter()
        .map(|event| [&event["type"], &event["session_id"], &event["agent"], &event["source"]])
        .collect();
    let of = |kind, session| [json!(kind), json!(session), json!("github"), json!("github")];
    assert_eq!(
        json!(told),
        json!([
            of("message", "ada/engine"),
            of("tool_call", "ada/engine"),
            of("note", "ada/engine"),
            of("note", "webhook-github")
        ])
    );
    assert_eq!(all[0]["data"], json!({"role": "user", "content": "LGTM"}));
    assert_eq!(
        (&all[1]["data"]["tool"], &all[1]["data"]["success"]),
        (&json!("CI"), &json!(true))
    );
    assert_eq!((&all[2]["data"]["type"], &all[0]["raw"]), (&json!("star"), &comment));
    assert!(metric(&served, "turnwire_webhooks_total{webhook=\"github\"} 4"));
}

/// W4, W8: GitHub's own example, which is no JSON; then all that it could be and is not.
#[test]
fn a_signature_that_is_not_right_is_401_and_writes_nothing() {
    let world = World::new();
    configure(&world, GITHUB, SECRET);
    let served = serve(&world, &[]);
    let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let send = |signature: Option<&str>, body: &str| {
        let headers: Vec<_> = signature.map(|it| ("X-Hub-Signature-256", it)).into_iter().collect();
        call(&served, "/api/webhooks/github", &headers, body)
    };
    let field = "x-hub-signature-256".to_owned();
    assert_eq!(
        send(None, "Hello, World!").refused(401),
        ("proof_missing".into(), field.clone())
    );
    for (signature, body) in [
        (good, "Hello, World?"),
        (&good[..70], "Hello, World!"),
        ("sha256=", "Hello, World!"),
    ] {
        assert_eq!(
            send(Some(signature), body).refused(401),
            ("proof_wrong".into(), field.clone())
        );
    }
    // A token of this server's is no signature.
    let token = fs::read_to_string(world.data_dir().join("local.token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let reply = call(
        &served,
        "/api/webhooks/github",
        &[("Authorization", &bearer)],
        "Hello, World!",
    );
    assert_eq!(reply.refused(401).0, "proof_missing");
    // Nor is a page of another site's one of the service's.
    let page = [("X-Hub-Signature-256", good), ("Origin", "http://evil.example")];
    let reply = call(&served, "/api/webhooks/github", &page, "Hello, World!");
    assert_eq!(reply.refused(403).1, "origin");
    assert!(events(&world).is_empty());
    assert!(metric(&served, "turnwire_webhooks_denied_total{webhook=\"github\"} 5"));
    // W8: what is no JSON is kept as it is.
    assert_eq!(send(Some(good), "Hello, World!").ok()["written"], 1);
    let all = events(&world);
    assert_eq!(
        (&all[0]["type"], &all[0]["raw"]),
        (&json!("raw"), &json!("Hello, World!"))
    );
    assert!(metric(&served, "turnwire_webhooks_unknown_total{webhook=\"github\"} 1"));
}

/// W9, W10.
#[test]
fn a_delivery_that_comes_again_writes_nothing_and_is_answered_the_same() {
    let world = World::new();
    configure(&world, GITHUB, SECRET);
    let served = serve(&world, &[]);
    let body = json!({"a": 1});
    let first = github(&served, "push", "d-1", &body).ok();
    assert_eq!(github(&served, "push", "d-1", &body).ok(), first);
    assert_eq!(
        github(&served, "push", "d-2", &body).ok()["written"],
        1,
        "another delivery of the same words"
    );
    drop(served);
    let served = serve(&world, &[]);
    assert_eq!(
        github(&served, "push", "d-1", &body).ok(),
        first,
        "after a restart, too"
    );
    // Without an id, the body is what it is known by; with a key, the key.
    let signature = format!("sha256={}", hex(SECRET, "[1,{\"b\":2}]"));
    let send = |more: &[(&str, &str)]| {
        let headers = [&[("X-Hub-Signature-256", &*signature)], more].concat();
        call(&served, "/api/webhooks/github", &headers, "[1,{\"b\":2}]")
    };
    assert_eq!(send(&[]).ok()["written"], 2);
    assert_eq!(send(&[]).ok()["duplicates"], 2);
    let keyed = send(&[("X-Idempotency-Key", "k")]).ok();
    assert_eq!(
        (&keyed["written"], send(&[("X-Idempotency-Key", "k")]).ok()),
        (&json!(2), keyed.clone())
    );
    let long = "k".repeat(257);
    assert_eq!(
        send(&[("X-GitHub-Delivery", &long)]).refused(400).1,
        "x-github-delivery"
    );
    // A kept answer is for those alone who prove who they are.
    let forged = call(
        &served,
        "/api/webhooks/github",
        &[("X-GitHub-Delivery", "d-1")],
        body.to_string(),
    );
    assert_eq!(forged.refused(401).0, "proof_missing");
    assert_eq!(events(&world).len(), 6);
}

/// W4: Slack's published example, and its handshake; W5: what is old.
#[test]
fn slacks_example_is_taken_within_its_tolerance_alone_and_its_challenge_is_answered() {
    const SLACK: &str = r#"
        [[webhook]]
        name = "slack"
        session_id = "chat"
        challenge = "/challenge"
        signature = { header = "X-Slack-Signature", prefix = "v0=", signed = "v0:{timestamp}:{body}",
                      timestamp_header = "X-Slack-Request-Timestamp", TOLERANCE secret_file = "SECRET" }
        map = { type = "/event/type", text = "/event/text", id = "/event_id", kinds = { app_mention = "message" } }
    "#;
    let secret = "8f742231b10e8888abcd99yyyzzz85a5";
    let example = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&\
        user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands\
        %2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let send = |served: &Served, time: &str, signature: &str, body: &str| {
        let headers = [("X-Slack-Request-Timestamp", time), ("X-Slack-Signature", signature)];
        call(served, "/api/webhooks/slack", &headers, body)
    };
    let (time, signature) = (
        "1531420618",
        "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    );
    let world = World::new();
    configure(&world, &SLACK.replace("TOLERANCE", ""), secret);
    let served = serve(&world, &[]);
    let old = send(&served, time, signature, example).refused(401);
    assert_eq!(old, ("proof_untimely".into(), "x-slack-request-timestamp".into()));
    assert_eq!(
        send(&served, "1531420619", signature, example).refused(401).0,
        "proof_wrong"
    );
    assert!(events(&world).is_empty());
    drop(served);
    configure(
        &world,
        &SLACK.replace("TOLERANCE", "tolerance_secs = 4000000000,"),
        secret,
    );
    let served = serve(&world, &[]);
    send(&served, time, signature, example).ok();
    assert_eq!(events(&world)[0]["type"], "raw");
    let now = |body: &str| {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs()
            .to_string();
        send(
            &served,
            &now,
            &format!("v0={}", hex(secret, &format!("v0:{now}:{body}"))),
            body,
        )
    };
    let challenge = now(r#"{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV"}"#);
    assert_eq!(challenge.ok(), json!({"challenge": "3eZbrw1aBm2rZgRNFdxV"}));
    // W10: Slack tries again with another time; the mapping's id says that it is the same.
    let mention = r#"{"event_id":"Ev1","event":{"type":"app_mention","text":"hello"},"session_id":"other"}"#;
    assert_eq!(now(mention).ok()["written"], 1);
    let again = mention.replace("other", "another");
    assert_eq!(now(&again).ok()["duplicates"], 1, "{again}");
    let last = events(&world).pop().unwrap();
    assert_eq!(
        (&last["type"], &last["session_id"], &last["data"]["content"]),
        (&json!("message"), &json!("chat"), &json!("hello"))
    );
}

/// W4: the published example of Standard Webhooks, and Stripe's rule, of which there is none.
#[test]
fn what_standard_webhooks_and_stripe_sign_is_taken() {
    let world = World::new();
    let standard = r#"
        [[webhook]]
        name = "standard"
        delivery_header = "webhook-id"
        signature = { header = "webhook-signature", prefix = "v1,", separator = " ", encoding = "base64", signed = "{delivery}.{timestamp}.{body}",
                      timestamp_header = "webhook-timestamp", tolerance_secs = 4000000000, secret_encoding = "base64", secret_file = "SECRET" }
    "#;
    configure(&world, standard, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let served = serve(&world, &[]);
    let send = |id: &str| {
        let signatures =
            "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", signatures),
        ];
        call(&served, "/api/webhooks/standard", &headers, r#"{"test": 2432232314}"#)
    };
    assert_eq!(send("msg_p5jXN8AQM9LWM0D4loKWxJek").ok()["written"], 1);
    assert_eq!(send("msg_other").refused(401).0, "proof_wrong");
    drop(served);
    let stripe = r#"
        [[webhook]]
        name = "stripe"
        signature = { header = "Stripe-Signature", prefix = "v1=", separator = ",", signed = "{timestamp}.{body}",
                      timestamp_header = "Stripe-Signature", timestamp_prefix = "t=", tolerance_secs = 4000000000, secret_file = "SECRET" }
    "#;
    configure(&world, stripe, "whsec_a test secret of stripe");
    let served = serve(&world, &[]);
    let send = |time: &str| {
        let signature = format!(
            "t={time},v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd,v0=6ffbb59b,v1=43ea0e1beee935a034cf596c23a6ae334f1070a5ad4b015f5182662fbd69ef54"
        );
        call(
            &served,
            "/api/webhooks/stripe",
            &[("Stripe-Signature", &signature)],
            r#"{"id":"evt_1","type":"charge.failed"}"#,
        )
    };
    send("1492774577").ok();
    assert_eq!(send("1492774578").refused(401).0, "proof_wrong");
    assert_eq!(events(&world).len(), 2);
}

/// W3, W4: a shared token as GitLab sends it, from a variable; a token of this server's where a section has neither.
#[test]
fn a_shared_token_or_one_of_this_servers_lets_in() {
    let world = World::new();
    let text = "[[webhook]]\nname = \"gitlab\"\ntoken = { header = \"X-Gitlab-Token\", secret_env = \"GITLAB_SECRET\" }\n[[webhook]]\nname = \"own\"\nsession_id = \"mine\"\n";
    configure(&world, text, "");
    let mut child = world
        .turnwire(&["serve", "--listen", "127.0.0.1:0", "--json", "-vv"])
        .env("GITLAB_SECRET", "a token of gitlab's")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut ready)
        .unwrap();
    let mut served = Served {
        child,
        ready: serde_json::from_str(&ready).unwrap(),
    };
    let gitlab = |token: &str| call(&served, "/api/webhooks/gitlab", &[("X-Gitlab-Token", token)], "{}");
    gitlab("a token of gitlab's").ok();
    assert_eq!(
        gitlab("another token of 16").refused(401),
        ("proof_wrong".into(), "x-gitlab-token".into())
    );
    let token = |scope: &str| {
        let made = world
            .turnwire(&["token", "create", "--name", "t", "--scope", scope, "--quiet"])
            .output()
            .unwrap();
        format!("Bearer {}", stdout(&made).trim())
    };
    let own = |bearer: &str| {
        call(
            &served,
            "/api/webhooks/own",
            &[("Authorization", bearer)],
            r#"[{"type":"note","text":"a"},7]"#,
        )
    };
    assert_eq!(own(&token("publish:session:mine")).ok()["written"], 2);
    assert_eq!(own(&token("publish:session:other")).refused(403).1, "session_id");
    own(&token("read")).refused(403);
    assert_eq!(call(&served, "/api/webhooks/own", &[], "{}").refused(401).0, "missing");
    assert_eq!(call(&served, "/api/webhooks/none", &[], "{}").refused(401).0, "missing");
    let known = token("publish");
    let headers = [("Authorization", known.as_str())];
    assert_eq!(
        call(&served, "/api/webhooks/none", &headers, "{}").refused(404).1,
        "name"
    );
    assert_eq!(
        call(&served, "/api/webhooks/own?x=1", &headers, "{}").refused(400).1,
        "query"
    );
    served.child.kill().unwrap();
    let mut said = String::new();
    served.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!said.contains("a token of gitlab's"), "{said}");
}

/// W6, W11: what an array holds is told element by element, up to bounds that the refusal names.
#[test]
fn a_body_that_holds_many_is_told_element_by_element_within_bounds() {
    let world = World::new();
    let text = "[[webhook]]\nname = \"many\"\nevents = \"/items\"\nmap = { text = \"/say\", kinds = { said = \"message\" } }\n\
                token = { header = \"X-Token\", secret_file = \"SECRET\" }\n";
    configure(&world, text, "0123456789abcdef");
    let served = serve(&world, &["--batch-events", "3"]);
    let send = |body: &[u8]| call(&served, "/api/webhooks/many", &[("X-Token", "0123456789abcdef")], body);
    assert_eq!(
        send(br#"{"items":[{"type":"said","say":"a"},{"say":"b"},"c"]}"#).ok()["written"],
        3
    );
    let all = events(&world);
    let kinds: Vec<_> = all.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message", "note", "raw"]);
    assert_eq!(
        (&all[0]["raw"], &all[1]["raw"]),
        (&json!({"type": "said", "say": "a"}), &json!({"say": "b"}))
    );
    let over = send(br#"{"items":[1,2,3,4]}"#);
    assert_eq!(
        (over.body["error"]["details"]["limit"].clone(), over.refused(413).1),
        (json!(3), "body".into())
    );
    assert_eq!(
        send(br#"{"items":7}"#).ok()["written"],
        1,
        "what is not what it should be is kept as one"
    );
    let over = send(&vec![b' '; (8 << 20) + 1]);
    assert_eq!(
        (over.body["error"]["details"]["limit"].clone(), over.refused(413).1),
        (json!(8 << 20), "body".into())
    );
    assert_eq!(send(b" \n").refused(400).1, "body");
    // Invalid UTF-8, and a secret among the words: kept, and replaced.
    send(b"\xff{").ok();
    send(format!("{{\"say\":\"AKIA{}\"}}", "Q3EGRZ7EXAMPLE42").as_bytes()).ok();
    let last = events(&world).pop().unwrap().to_string();
    assert!(
        last.contains("[redacted:aws-key:") && !last.contains("Q3EGRZ7"),
        "{last}"
    );
    assert_eq!(events(&world).len(), 6);
}
