//! A harness that reports its own work, against the real gateway: nothing is lost, nothing comes twice, nobody waits.

use std::{fs, path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use turnwire_client::{
    Place,
    observe::{
        About, Config, Metric, Observer, ObserverEvent, Tee, Turnwire, What,
        turnwire::{self, Options},
    },
    spool::Limits,
};
use turnwire_log::{
    faulty::{Call, Faulty, Gate},
    memory::MemoryLog,
};
use turnwire_proto::{Kind, Name, Object};

use crate::world::{DEADLINE, World, texts, within};

#[path = "../../../client/examples/observe.rs"]
#[expect(dead_code, reason = "its `main` is for the command line")]
mod example;

fn told(text: &str) -> ObserverEvent {
    let about = About::session("s-1").turn("t-1").agent("builder");
    ObserverEvent::new(about, What::Other(Kind::NOTE, Object::of(&json!({ "text": text }))))
}

/// For a gateway that is found by what is in `dir`, where the spool is, too.
fn options(dir: &Path) -> Options {
    Options {
        place: Place {
            data_dir: Some(dir.to_owned()),
            ..Place::default()
        },
        spool_dir: None,
        limits: Limits::default(),
        source: Name::new("harness").unwrap(),
        agent: None,
    }
}

/// Leaves what a gateway leaves for clients on its machine.
fn announce(dir: &Path, world: &World, token: &str) {
    let running = json!({"url": format!("http://{}", world.at)});
    fs::write(dir.join("local.token"), token).unwrap();
    fs::write(dir.join("server.json"), running.to_string()).unwrap();
}

/// Waits on a thread for blocking work, as a program with a runtime does.
async fn settled(observer: &Arc<impl Observer + 'static>) -> bool {
    let observer = Arc::clone(observer);
    tokio::task::spawn_blocking(move || observer.settle(DEADLINE))
        .await
        .unwrap()
}

/// Settles until a gateway that was away has been found.
async fn all_gone(observer: &Arc<Turnwire>) {
    within("all to be with the gateway", async {
        while !settled(observer).await {
            // Only how often it asks; what it waits for is the answer.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn dropped(observer: Arc<Turnwire>) {
    tokio::task::spawn_blocking(move || drop(observer)).await.unwrap();
}

/// Directories under this one that are spools.
fn spools(root: &Path) -> usize {
    fs::read_dir(root)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().is_dir())
        .count()
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn one_line_of_set_up_reports_a_turn_whole_and_in_order() {
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    let config = Config {
        source: Some("example".into()),
        url: Some(format!("http://{}", world.at)),
        token: Some(world.token(&["publish"]).await),
        spool_dir: Some(dir.path().to_owned()),
        ..Config::default()
    };
    let observing = config.install().unwrap();
    example::work("example-1").unwrap();
    assert!(observing.finish(DEADLINE).await);
    let events = world.all().await;
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "turn_start",
            "llm_request",
            "usage",
            "tool_call_start",
            "tool_call",
            "turn_end"
        ]
    );
    for event in &events {
        let names = ["source", "agent", "session_id", "turn_id"].map(|field| event[field].as_str().unwrap());
        assert_eq!(names, ["example", "example", "example-1", "turn-1"]);
    }
    let bodies: Vec<&Value> = events.iter().map(|event| &event["data"]).collect();
    assert_eq!(bodies[0]["body"], "How long is the manifest?");
    assert_eq!(bodies[3]["tool_call_id"], bodies[4]["tool_call_id"]);
    assert_eq!(bodies[4]["success"], true);
    assert_eq!(bodies[5]["ok"], true);
    assert_eq!(
        bodies[5]["usage"],
        json!({"input_tokens": 850, "output_tokens": 31, "model": "acme-large"})
    );
    let session = world.get("/api/sessions/example-1").await.ok();
    assert_eq!((&session["turns"], &session["tool_calls"]), (&json!(1), &json!(1)));
    tokio::task::spawn_blocking(move || drop(observing)).await.unwrap();
    assert_eq!(spools(dir.path()), 0, "what is drained is deleted");
}

#[tokio::test]
async fn a_harness_loses_nothing_to_a_gateway_that_comes_late_and_is_restarted_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let observer = Arc::new(Turnwire::start(options(dir.path())).unwrap());
    let mut next = numbers(300).into_iter();
    let mut tell = |observer: &Turnwire| {
        next.by_ref()
            .take(100)
            .for_each(|text| observer.record_event(&told(&text)))
    };
    tell(&observer);
    assert!(!settled(&observer).await, "there is no gateway yet");
    assert_eq!(observer.backlog(), 100);

    let mut world = World::start().await;
    let token = world.token(&["publish"]).await;
    announce(dir.path(), &world, &token);
    tell(&observer);
    world.restart().await;
    announce(dir.path(), &world, &token);
    tell(&observer);
    all_gone(&observer).await;
    assert_eq!(texts(&world.all().await), numbers(300));
}

#[tokio::test]
async fn what_a_program_could_not_send_goes_with_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let first = Arc::new(Turnwire::start(options(dir.path())).unwrap());
    first.record_event(&told("0"));
    first.flush();
    first.record_event(&told("1"));
    dropped(first).await;
    assert_eq!(spools(&dir.path().join("spool")), 1);

    let world = World::start().await;
    announce(dir.path(), &world, &world.token(&["publish"]).await);
    let second = Arc::new(Turnwire::start(options(dir.path())).unwrap());
    within("the first program's events", async {
        while texts(&world.all().await) != numbers(2) || spools(&dir.path().join("spool")) > 1 {
            // Only how often it looks; what it waits for is the log.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    dropped(second).await;
    assert_eq!(spools(&dir.path().join("spool")), 0);
}

/// A gateway whose store stands still, and a harness that reports to it.
async fn stalled(limits: Limits) -> (World, turnwire_log::faulty::Faults, Arc<Turnwire>, tempfile::TempDir) {
    let (log, faults) = Faulty::new(MemoryLog::new());
    let world = World::over(|_| {}, |_| Some(Arc::new(log))).await;
    let dir = tempfile::tempdir().unwrap();
    announce(dir.path(), &world, &world.token(&["publish"]).await);
    faults.hold(Call::Append, Gate::Call);
    let observer = Turnwire::start(Options {
        limits,
        ..options(dir.path())
    });
    (world, faults, Arc::new(observer.unwrap()), dir)
}

#[tokio::test]
async fn a_gateway_that_never_answers_costs_the_harness_nothing() {
    let (world, faults, observer, dir) = stalled(Limits::default()).await;
    observer.record_event(&told("0"));
    faults.held(Call::Append, Gate::Call, 1).await;
    // More than any queue elsewhere holds; and each is on disk when the call returns.
    for text in numbers(5000).iter().skip(1) {
        observer.record_event(&told(text));
        observer.record_metric(&Metric::add("told", 1));
    }
    assert_eq!((observer.backlog(), observer.lost()), (5000, 0));
    let spool = fs::read_dir(dir.path().join("spool"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let on_disk = fs::read_to_string(spool.join("000001.ndjson")).unwrap();
    assert_eq!(on_disk.lines().count(), 5000);
    faults.heal();
    all_gone(&observer).await;
    assert_eq!(texts(&world.all().await), numbers(5000));
}

#[tokio::test]
async fn a_full_spool_is_counted_and_the_log_is_told_of_it() {
    let limits = Limits {
        bytes: 64 * 1024,
        segment: 8 * 1024,
    };
    let (world, faults, observer, _dir) = stalled(limits).await;
    let long = "x".repeat(1000);
    while observer.lost() < 3 {
        observer.record_event(&told(&long));
    }
    faults.heal();
    all_gone(&observer).await;
    observer.record_event(&told("after"));
    all_gone(&observer).await;
    let events = world.all().await;
    let [.., after, error] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (&after["data"]["text"], &error["type"]),
        (&json!("after"), &json!("error"))
    );
    let message = error["data"]["message"].as_str().unwrap();
    assert!(message.starts_with("3 events and 0 deltas since "), "{message}");
    assert!(message.ends_with("were not recorded: the spool is full"), "{message}");
}

#[tokio::test]
async fn an_event_that_comes_by_two_ways_is_written_once() {
    let (world, dirs) = (
        World::start().await,
        [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()],
    );
    let mut ways = Vec::new();
    let mut tee = Tee::new();
    for dir in &dirs {
        announce(dir.path(), &world, &world.token(&["publish"]).await);
        let way = Arc::new(Turnwire::start(options(dir.path())).unwrap());
        tee = tee.and_direct(Arc::clone(&way) as Arc<dyn Observer>);
        ways.push(way);
    }
    tee.record_event(&told("once"));
    for way in &ways {
        all_gone(way).await;
    }
    assert_eq!(texts(&world.all().await), ["once"]);
}

#[tokio::test]
async fn a_token_that_may_not_publish_is_told_and_all_is_kept() {
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    announce(dir.path(), &world, &world.token(&["read"]).await);
    let observer = Arc::new(Turnwire::start(options(dir.path())).unwrap());
    let mut status = observer.status();
    observer.record_event(&told("0"));
    let refused = within("the refusal", status.wait_for(|status| status.refused.is_some())).await;
    assert_eq!(refused.unwrap().refused.as_ref().unwrap().code().as_str(), "forbidden");
    observer.record_event(&told("1"));
    assert!(!settled(&observer).await);
    assert_eq!((observer.backlog(), observer.lost()), (2, 0));
    dropped(observer).await;

    // With the right token the next program sends it all.
    announce(dir.path(), &world, &world.token(&["publish"]).await);
    let next: Result<Turnwire, turnwire::StartError> = Turnwire::start(options(dir.path()));
    let next = Arc::new(next.unwrap());
    within("the rest", async {
        while texts(&world.all().await) != numbers(2) {
            // Only how often it looks; what it waits for is the log.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    dropped(next).await;
}
