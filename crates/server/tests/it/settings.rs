//! What a server is told when it starts, as it is seen from outside.

use std::{collections::HashMap, os::unix::fs::PermissionsExt, path::Path};

use turnwire_server::{Server, StartError};

use crate::world::World;

async fn asked(world: &World, host: &str, origin: &str) -> u16 {
    let body = r#"{"path":"/api/events","kind":"once"}"#;
    let request = format!(
        "POST /api/tickets HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        world.admin,
        body.len()
    );
    world.ask(request).await.status
}

#[tokio::test]
async fn hosts_and_origins_that_were_allowed_pass_and_no_others() {
    let world = World::with(|config| {
        config.allowed_hosts = vec!["agents.example.org".into()];
        config.allowed_origins = vec!["https://agents.example.org:8443".into()];
    })
    .await;
    let here = world.at.to_string();
    for (host, origin, status) in [
        // A proxy that passes the host on with its port, one that leaves the port out, one that puts its own host.
        ("agents.example.org:8443", "https://agents.example.org:8443", 200),
        ("agents.example.org", "https://agents.example.org:8443", 200),
        (&here, "https://agents.example.org:8443", 200),
        // A port that was forwarded to this one.
        ("localhost:9999", "http://localhost:9999", 200),
        ("localhost:9999", "http://localhost:3000", 403),
        (&here, "http://localhost:9999", 403),
        (&here, "https://agents.example.org", 403),
        ("evil.example", "http://evil.example", 403),
        ("evil.example", "https://agents.example.org:8443", 403),
    ] {
        assert_eq!(asked(&world, host, origin).await, status, "{origin} at {host}");
    }
}

#[tokio::test]
async fn what_is_no_host_or_origin_is_refused_by_its_flag() {
    for (host, origin, flag) in [("a b", None, "--allow-host"), ("a.b", Some("a.b"), "--allow-origin")] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = turnwire_server::Config::new(dir.path().to_owned());
        config.listen.set_port(0);
        config.allowed_hosts = vec![host.into()];
        config.allowed_origins = origin.into_iter().map(str::to_owned).collect();
        let error = Server::start(config).await.unwrap_err();
        assert!(matches!(error, StartError::Policy(_)), "{error}");
        assert!(error.to_string().starts_with(flag), "{error}");
    }
}

#[tokio::test]
async fn every_file_of_a_server_is_its_owners_alone() {
    let mut world = World::start().await;
    let dir = world.server().ready().data_dir.clone();
    // One that a start before left, readable by others.
    std::fs::write(Path::new(&dir).join("server.json.new"), "{}").unwrap();
    world.restart().await;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.file_name());
        names.push(entry.file_name().into_string().unwrap());
    }
    assert!(names.contains(&"server.json".to_owned()), "{names:?}");
}

/// Pairs a browser; the name and the value of its cookie.
async fn signed_in(world: &World) -> (String, String) {
    let code = world.server().pairing_code().await.unwrap();
    let body = format!(r#"{{"code":"{}"}}"#, code.code());
    let at = world.at;
    let request = format!(
        "POST /api/pair HTTP/1.1\r\nHost: {at}\r\nOrigin: http://{at}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let reply = world.ask(request).await;
    let cookie = reply.headers["set-cookie"].split(';').next().unwrap();
    let (name, value) = cookie.split_once('=').unwrap();
    (name.to_owned(), value.to_owned())
}

#[tokio::test]
async fn two_gateways_on_one_host_do_not_sign_one_another_out() {
    let mut worlds = [World::start().await, World::start().await];
    let mut jar = HashMap::new();
    for world in &worlds {
        let (name, value) = signed_in(world).await;
        // What a browser keeps of all ports of a host.
        jar.insert(name, value);
    }
    let cookies: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
    worlds[0].restart().await;
    for world in &worlds {
        let request = format!(
            "GET /api/me HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n",
            world.at,
            cookies.join("; ")
        );
        world.ask(request).await.ok();
    }
}
