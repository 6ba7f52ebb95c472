//! Tokens over their lives, in one process and beside others.

use std::net::Ipv4Addr;

use http::{HeaderMap, HeaderValue, Method, Uri, header};
use tokio::task::JoinSet;
use turnwire_log::kv::{MemoryKv, SqliteKv};
use turnwire_proto::Visibility;

use super::*;

fn scopes(list: &[&str]) -> Scopes {
    Scopes(list.iter().map(|scope| scope.parse().unwrap()).collect())
}

fn new_token(list: &[&str]) -> NewToken {
    NewToken {
        name: Name::new("ci").unwrap(),
        kind: TokenKind::Token,
        scopes: scopes(list),
        expires: None,
    }
}

fn in_ms(ms: i64) -> Option<Timestamp> {
    Timestamp::from_millis(Timestamp::now().millis() + ms)
}

/// Waits until streams are told, but not for ever.
async fn told(revisions: &mut watch::Receiver<u64>) {
    tokio::time::timeout(Duration::from_secs(30), revisions.changed())
        .await
        .expect("streams are told")
        .unwrap();
}

async fn memory() -> (Auth, MemoryKv) {
    let kv = MemoryKv::new();
    (Auth::open(Arc::new(kv.clone())).await.unwrap(), kv)
}

#[tokio::test]
async fn a_token_is_known_until_it_is_revoked_and_then_remembered_as_revoked() {
    let (auth, kv) = memory().await;
    let made = auth.create_token(new_token(&["read"])).await.unwrap();
    let secret = made.secret.expose();
    let mut revisions = auth.revisions();
    let principal = auth.authenticate(secret).unwrap();
    assert!(Arc::ptr_eq(&principal, &made.principal));
    assert_eq!(principal.is_ended(), None);
    assert!(principal.last_used().is_some());
    assert!(!revisions.has_changed().unwrap());

    auth.revoke(principal.id()).await.unwrap();
    assert_eq!(auth.authenticate(secret).unwrap_err(), Denied::Revoked);
    assert_eq!(principal.is_ended(), Some("token_revoked"));
    assert!(revisions.has_changed().unwrap(), "streams are told");
    revisions.mark_unchanged();
    assert!(matches!(auth.revoke(principal.id()).await, Err(ChangeError::Gone)));
    assert!(matches!(auth.revoke("none").await, Err(ChangeError::NotFound)));
    assert!(auth.tokens().await.unwrap().is_empty());

    let after_restart = Auth::open(Arc::new(kv)).await.unwrap();
    assert_eq!(after_restart.authenticate(secret).unwrap_err(), Denied::Revoked);
}

#[tokio::test]
async fn what_is_no_token_of_this_server_is_unknown() {
    let (auth, _) = memory().await;
    auth.create_token(new_token(&["read"])).await.unwrap();
    assert_eq!(
        auth.authenticate(Secret::token().expose()).unwrap_err(),
        Denied::Unknown
    );
    for text in ["", "tw_", "x", Secret::ticket().expose()] {
        assert_eq!(auth.authenticate(text).unwrap_err(), Denied::Malformed);
    }
}

#[tokio::test]
async fn a_token_ends_at_its_time() {
    let (auth, _) = memory().await;
    let expires = in_ms(3_600_000);
    let made = auth
        .create_token(NewToken {
            expires,
            ..new_token(&["read"])
        })
        .await
        .unwrap();
    let registry = auth.registry().unwrap();
    let at = |ms| Timestamp::from_millis(expires.unwrap().millis() + ms).unwrap();
    assert!(registry.authenticate(made.secret.expose(), at(-1)).is_ok());
    assert_eq!(
        registry.authenticate(made.secret.expose(), at(0)).unwrap_err(),
        Denied::Expired
    );
    assert_eq!(registry.expiries(at(-2), at(-1)), (false, expires));
    assert_eq!(registry.expiries(at(-1), at(0)), (true, None));
    assert_eq!(registry.expiries(at(0), at(1)), (false, None), "told once");
}

#[tokio::test]
async fn streams_are_told_when_a_token_expires() {
    let (auth, _) = memory().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(auth.clone().keep());
    let made = auth
        .create_token(NewToken {
            expires: in_ms(100),
            ..new_token(&["read"])
        })
        .await
        .unwrap();
    let mut revisions = auth.revisions();
    while made.principal.is_ended().is_none() {
        told(&mut revisions).await;
    }
    assert_eq!(made.principal.is_ended(), Some("token_expired"));
}

#[tokio::test]
async fn secrets_are_neither_stored_nor_listed_nor_shown() {
    let (auth, kv) = memory().await;
    let made = auth.create_token(new_token(&["admin"])).await.unwrap();
    let digits = &made.secret.expose()[3..];
    let stored = kv.list(record::BUCKET).await.unwrap();
    let stored: Vec<_> = stored
        .iter()
        .map(|(key, entry)| format!("{key} {}", String::from_utf8_lossy(&entry.value)))
        .collect();
    for text in [
        stored.concat(),
        format!("{made:?} {auth:?} {:?}", auth.tokens().await.unwrap()),
        format!("{:?} {}", Denied::Unknown, Denied::TokenInUrl("token")),
    ] {
        assert!(!text.contains(digits), "{text}");
    }
}

#[tokio::test]
async fn a_token_that_another_process_made_is_known_at_its_first_use() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Arc::new(SqliteKv::open(dir.path()).unwrap());
    let server = Auth::open(open()).await.unwrap();
    let command_line = Auth::open(open()).await.unwrap();
    for _ in 0..3 {
        let made = command_line.create_token(new_token(&["read"])).await.unwrap();
        let known = server.authenticate_or_read(made.secret.expose()).await.unwrap();
        assert_eq!(known.id(), made.principal.id());
    }
}

#[tokio::test]
async fn a_token_that_another_process_revoked_ends_and_its_streams_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Arc::new(SqliteKv::open(dir.path()).unwrap());
    let server = Auth::open(open()).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.clone().keep());
    let made = server.create_token(new_token(&["read"])).await.unwrap();
    let mut revisions = server.revisions();
    let command_line = Auth::open(open()).await.unwrap();
    command_line.revoke(made.principal.id()).await.unwrap();
    while made.principal.is_ended().is_none() {
        told(&mut revisions).await;
    }
    assert_eq!(server.authenticate(made.secret.expose()).unwrap_err(), Denied::Revoked);
}

#[tokio::test]
async fn a_token_that_vanished_from_the_store_is_no_more() {
    let (auth, kv) = memory().await;
    let made = auth.create_token(new_token(&["read"])).await.unwrap();
    kv.delete(record::BUCKET, made.principal.id()).await.unwrap();
    auth.registry().unwrap().refresh().await.unwrap();
    assert_eq!(made.principal.is_ended(), Some("token_revoked"));
    assert_eq!(auth.authenticate(made.secret.expose()).unwrap_err(), Denied::Unknown);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_spoils_no_other() {
    let (auth, kv) = memory().await;
    let made = auth.create_token(new_token(&["read"])).await.unwrap();
    let good = kv.list(record::BUCKET).await.unwrap().remove(0).1.value;
    let newer = String::from_utf8(good)
        .unwrap()
        .replace("\"version\":1", "\"version\":2");
    for (key, value) in [("0", "{"), ("1", newer.as_str()), ("2", "{}")] {
        kv.put(record::BUCKET, key, value.as_bytes(), None).await.unwrap();
    }
    let auth = Auth::open(Arc::new(kv)).await.unwrap();
    assert!(auth.authenticate(made.secret.expose()).is_ok());
    assert_eq!(auth.stats().tokens, 1);
}

/// Counts how often the store is read.
struct Counted {
    kv: MemoryKv,
    lists: AtomicU64,
}

#[async_trait::async_trait]
impl Kv for Counted {
    async fn get(&self, bucket: &str, key: &str) -> Result<Option<turnwire_log::kv::Entry>, StoreError> {
        self.kv.get(bucket, key).await
    }
    async fn put(&self, bucket: &str, key: &str, value: &[u8], expires: Option<Timestamp>) -> Result<u64, StoreError> {
        self.kv.put(bucket, key, value, expires).await
    }
    async fn create(
        &self,
        bucket: &str,
        key: &str,
        value: &[u8],
        expires: Option<Timestamp>,
    ) -> Result<Option<u64>, StoreError> {
        self.kv.create(bucket, key, value, expires).await
    }
    async fn update(
        &self,
        bucket: &str,
        key: &str,
        value: &[u8],
        expires: Option<Timestamp>,
        expected: u64,
    ) -> Result<Option<u64>, StoreError> {
        self.kv.update(bucket, key, value, expires, expected).await
    }
    async fn delete(&self, bucket: &str, key: &str) -> Result<bool, StoreError> {
        self.kv.delete(bucket, key).await
    }
    async fn list(&self, bucket: &str) -> Result<Vec<(String, turnwire_log::kv::Entry)>, StoreError> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        // Others may come meanwhile, as with a store that takes time.
        tokio::task::yield_now().await;
        self.kv.list(bucket).await
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.kv.changes()
    }
}

#[tokio::test(start_paused = true)]
async fn guessing_tokens_does_not_hammer_the_store() {
    let kv = Arc::new(Counted {
        kv: MemoryKv::new(),
        lists: AtomicU64::new(0),
    });
    let auth = Auth::open(Arc::clone(&kv) as Arc<dyn Kv>).await.unwrap();
    let begun = Instant::now();
    let mut guesses = JoinSet::new();
    for _ in 0..1000 {
        let auth = auth.clone();
        guesses.spawn(async move { auth.authenticate_or_read(Secret::token().expose()).await });
    }
    for guess in guesses.join_all().await {
        assert_eq!(guess.unwrap_err(), Denied::Unknown);
    }
    let together = kv.lists.load(Ordering::Relaxed);
    assert!(together <= 3, "{together} readings for guesses that came together");
    for _ in 0..10 {
        let guess = auth.authenticate_or_read(Secret::token().expose()).await;
        assert_eq!(guess.unwrap_err(), Denied::Unknown);
    }
    assert_eq!(auth.authenticate_or_read("tw_x").await.unwrap_err(), Denied::Malformed);
    let tenths = u64::try_from(begun.elapsed().as_millis()).unwrap() / 100;
    let lists = kv.lists.load(Ordering::Relaxed);
    assert!(lists <= tenths + 3, "{lists} readings in {tenths} tenths of a second");
}

#[tokio::test(start_paused = true)]
async fn a_last_use_is_written_at_most_once_a_minute() {
    let (auth, kv) = memory().await;
    let mut tasks = JoinSet::new();
    let made = auth.create_token(new_token(&["read"])).await.unwrap();
    let revision = async || kv.list(record::BUCKET).await.unwrap()[0].1.revision;
    let first = revision().await;
    tasks.spawn(auth.clone().keep());
    for _ in 0..50 {
        auth.authenticate(made.secret.expose()).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(revision().await, first, "nothing was written within the minute");
    tokio::time::sleep(FLUSH).await;
    assert_eq!(revision().await, first + 1);
    tokio::time::sleep(FLUSH * 5).await;
    assert_eq!(revision().await, first + 1, "without a use, nothing is written");
    let other = Auth::open(Arc::new(kv.clone())).await.unwrap();
    assert_eq!(other.tokens().await.unwrap()[0].last_used(), made.principal.last_used());
}

#[tokio::test]
async fn a_last_use_never_brings_a_revoked_token_back() {
    let (auth, kv) = memory().await;
    let made = auth.create_token(new_token(&["read"])).await.unwrap();
    auth.authenticate(made.secret.expose()).unwrap();
    // Revoked by another process, which this one has not noticed yet.
    let other = Auth::open(Arc::new(kv)).await.unwrap();
    other.revoke(made.principal.id()).await.unwrap();
    auth.flush().await;
    assert_eq!(
        other.authenticate_or_read(made.secret.expose()).await.unwrap_err(),
        Denied::Revoked
    );
    auth.registry().unwrap().refresh().await.unwrap();
    assert_eq!(auth.authenticate(made.secret.expose()).unwrap_err(), Denied::Revoked);
}

fn pairing(code: &str) -> Pairing<'_> {
    Pairing {
        code,
        name: None,
        device: None,
        kind: TokenKind::Browser,
        from: Ipv4Addr::LOCALHOST.into(),
    }
}

#[tokio::test]
async fn a_code_that_comes_many_times_at_once_gives_one_token() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Arc::new(SqliteKv::open(dir.path()).unwrap());
    let servers = [Auth::open(open()).await.unwrap(), Auth::open(open()).await.unwrap()];
    let code = servers[0]
        .new_pairing_code(None, scopes(&["read"]), CODE_TTL)
        .await
        .unwrap();
    let mut tries = JoinSet::new();
    for server in servers.iter().cycle().take(8) {
        let server = server.clone();
        let code = code.code().to_owned();
        tries.spawn(async move { server.pair(pairing(&code)).await.is_ok() });
    }
    let paired = tries.join_all().await.into_iter().filter(|paired| *paired).count();
    assert_eq!(paired, 1);
}

#[tokio::test]
async fn a_paired_token_is_named_by_who_pairs_else_by_the_code_else_by_the_device() {
    let (auth, _) = memory().await;
    let named = |name: &str| Name::new(name).ok();
    for (said, of_code, device, want) in [
        ("said", "code", "device", "said"),
        ("", "code", "device", "code"),
        ("", "", "device", "device"),
        ("", "", "", "paired"),
    ] {
        let code = auth
            .new_pairing_code(named(of_code), scopes(&["read:session:s"]), CODE_TTL)
            .await
            .unwrap();
        let made = auth
            .pair(Pairing {
                name: named(said),
                device: named(device),
                ..pairing(code.code())
            })
            .await
            .unwrap();
        assert_eq!(made.principal.name().as_str(), want);
        assert_eq!(made.principal.scopes(), &scopes(&["read:session:s"]));
        assert_eq!(made.principal.kind(), TokenKind::Browser);
    }
}

async fn ask<A: Action>(auth: &Auth, url: &str, headers: &[(header::HeaderName, &str)]) -> Result<Grant<A>, u16> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    let uri: Uri = url.parse().unwrap();
    auth.grant::<A>(&Method::GET, &uri, &map)
        .await
        .map_err(|refusal| refusal.code().status())
}

#[tokio::test]
async fn a_grant_is_given_by_header_else_ticket_else_cookie_and_what_is_wrong_is_not_passed_over() {
    let (auth, _) = memory().await;
    let made = auth.create_token(new_token(&["read"])).await.unwrap();
    let good = format!("Bearer {}", made.secret.expose());
    let cookie = format!("{COOKIE}={}", made.secret.expose());
    let wrong = format!("Bearer {}", Secret::token().expose());
    let ticket = || auth.issue_ticket(&made.principal, "/x?a=1", TicketKind::Once).unwrap();
    let with_ticket = |ticket: &str| format!("/x?a=1&ticket={ticket}");
    let via = async |url: &str, headers: &[(header::HeaderName, &str)]| {
        ask::<Read>(&auth, url, headers).await.map(|grant| grant.via())
    };
    let (by_header, by_cookie) = (
        (header::AUTHORIZATION, good.as_str()),
        (header::COOKIE, cookie.as_str()),
    );
    let by_wrong = (header::AUTHORIZATION, wrong.as_str());
    assert_eq!(via("/x", std::slice::from_ref(&by_header)).await, Ok(Via::Header));
    assert_eq!(
        via(&with_ticket("tk_0"), &[by_header.clone(), by_cookie.clone()]).await,
        Ok(Via::Header)
    );
    assert_eq!(
        via(&with_ticket(ticket().expose()), std::slice::from_ref(&by_cookie)).await,
        Ok(Via::Ticket)
    );
    assert_eq!(via("/x", std::slice::from_ref(&by_cookie)).await, Ok(Via::Cookie));
    assert_eq!(
        via("/x", &[(header::AUTHORIZATION, &good.replace("Bearer", "bearer"))]).await,
        Ok(Via::Header)
    );

    assert_eq!(via("/x", &[]).await, Err(401));
    assert_eq!(via("/x", &[by_wrong.clone(), by_cookie.clone()]).await, Err(401));
    assert_eq!(via(&with_ticket(ticket().expose()), &[by_wrong]).await, Err(401));
    assert_eq!(
        via(&with_ticket("tk_0"), std::slice::from_ref(&by_cookie)).await,
        Err(401)
    );
    assert_eq!(via("/x", &[by_header.clone(), by_header.clone()]).await, Err(401));
    assert_eq!(
        via("/x", &[(header::AUTHORIZATION, "Basic eA=="), by_cookie]).await,
        Err(401)
    );
    assert_eq!(via("/x", &[(header::AUTHORIZATION, "Bearer")]).await, Err(401));
    assert_eq!(
        via(&format!("/x?token={}", made.secret.expose()), &[by_header]).await,
        Err(400)
    );
}

#[tokio::test]
async fn a_grant_is_for_what_the_scopes_say() {
    let (auth, _) = memory().await;
    let header = async |list: &[&str]| {
        let made = auth.create_token(new_token(list)).await.unwrap();
        format!("Bearer {}", made.secret.expose())
    };
    let reader = header(&["read:session:mine"]).await;
    let by = [(header::AUTHORIZATION, reader.as_str())];
    let grant = ask::<Read>(&auth, "/x", &by).await.unwrap();
    assert_eq!(
        grant.visibility(),
        &Visibility::Sessions([Name::new("mine").unwrap()].into())
    );
    assert!(ask::<Anyone>(&auth, "/x", &by).await.is_ok());
    assert_eq!(ask::<Publish>(&auth, "/x", &by).await.unwrap_err(), 403);
    assert_eq!(ask::<Control>(&auth, "/x", &by).await.unwrap_err(), 403);
    assert_eq!(ask::<Admin>(&auth, "/x", &by).await.unwrap_err(), 403);

    let writer = header(&["publish:session:s", "control:session:c"]).await;
    let by = [(header::AUTHORIZATION, writer.as_str())];
    assert_eq!(ask::<Read>(&auth, "/x", &by).await.unwrap_err(), 403);
    let grant = ask::<Publish>(&auth, "/x", &by).await.unwrap();
    assert!(grant.may_publish(Some("s")) && !grant.may_publish(Some("c")) && !grant.may_publish(None));
    assert!(!grant.may_publish_everything());
    let grant = ask::<Control>(&auth, "/x", &by).await.unwrap();
    assert!(grant.may_control(Some("c")) && !grant.may_control(Some("s")) && !grant.may_control(None));

    let admin = header(&["admin"]).await;
    let by = [(header::AUTHORIZATION, admin.as_str())];
    assert_eq!(
        ask::<Read>(&auth, "/x", &by).await.unwrap().visibility(),
        &Visibility::All
    );
    assert!(ask::<Publish>(&auth, "/x", &by).await.unwrap().may_publish_everything());
    assert!(ask::<Admin>(&auth, "/x", &by).await.is_ok());
}

#[tokio::test]
async fn a_ticket_proves_nothing_for_what_changes_something() {
    let (auth, _) = memory().await;
    let made = auth.create_token(new_token(&["admin"])).await.unwrap();
    let url = || {
        let ticket = auth.issue_ticket(&made.principal, "/x", TicketKind::Once).unwrap();
        format!("/x?ticket={}", ticket.expose())
    };
    assert!(ask::<Read>(&auth, &url(), &[]).await.is_ok());
    assert_eq!(ask::<Admin>(&auth, &url(), &[]).await.unwrap_err(), 403);
    assert_eq!(ask::<Publish>(&auth, &url(), &[]).await.unwrap_err(), 403);
    assert_eq!(ask::<Anyone>(&auth, &url(), &[]).await.unwrap_err(), 403);
    let uri: Uri = url().parse().unwrap();
    let posted = auth.grant::<Read>(&Method::POST, &uri, &HeaderMap::new()).await;
    assert_eq!(posted.unwrap_err().code().status(), 401);
}

#[tokio::test]
async fn without_authentication_everybody_may_do_everything_but_there_are_no_tokens() {
    let auth = Auth::disabled();
    let grant = ask::<Admin>(&auth, "/x", &[(header::AUTHORIZATION, "Bearer rubbish")])
        .await
        .unwrap();
    assert_eq!(
        (grant.via(), grant.principal().name().as_str()),
        (Via::Open, "anonymous")
    );
    assert!(matches!(
        auth.create_token(new_token(&["read"])).await,
        Err(ChangeError::Off)
    ));
    assert!(matches!(
        auth.pair(pairing("x")).await,
        Err(PairError::Change(ChangeError::Off))
    ));
    assert!(auth.tokens().await.unwrap().is_empty());
    assert!(ask::<Read>(&auth, "/x?access_token=x", &[]).await.is_err());
}

#[test]
fn a_grant_for_tests_needs_its_scopes() {
    assert!(Grant::<Publish>::for_tests(&["publish"]).may_publish_everything());
    assert!(std::panic::catch_unwind(|| Grant::<Publish>::for_tests(&["read"])).is_err());
}
