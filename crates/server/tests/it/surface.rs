//! The surface as a whole: which routes there are, who may ask without a token, and what is not there.

use std::collections::BTreeSet;

use serde_json::Value;
use turnwire_proto::path;

use crate::world::World;

#[tokio::test]
async fn machines_need_no_token() {
    let world = World::start().await;
    let get = async |url: &str| {
        world
            .ask(format!("GET {url} HTTP/1.1\r\nHost: {}\r\n\r\n", world.at))
            .await
    };
    assert_eq!(get("/healthz").await.ok()["ok"], true);
    let ready = get("/readyz").await.ok();
    assert_eq!(
        (&ready["ready"], &ready["head"], &ready["first"]),
        (&true.into(), &0.into(), &1.into())
    );
    let metrics = get("/metrics").await;
    assert!(metrics.headers["content-type"].starts_with("application/openmetrics-text"));
    assert!(metrics.text().ends_with("# EOF\n"));
    assert!(
        get("/openapi.json").await.ok()["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3."))
    );
}

#[tokio::test]
async fn every_other_route_asks_who_it_is() {
    let world = World::start().await;
    let open = [path::HEALTHZ, path::READYZ, path::METRICS, path::OPENAPI, path::PAIR];
    for route in path::API {
        let url = route.replace("{id}", "x").replace("{name}", "x");
        let mut methods = 0;
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let request = format!(
                "{method} {url} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n",
                world.at
            );
            let reply = world.ask(request).await;
            if reply.status == 405 {
                reply.refused(405, "method_not_allowed");
                continue;
            }
            methods += 1;
            if *route == path::SIGN_OUT {
                // It takes the cookie away, whatever it is worth, and nothing else.
                reply.ok();
            } else if !open.contains(route) {
                reply.refused(401, "unauthorized");
                assert!(
                    reply.headers["www-authenticate"].starts_with("Bearer"),
                    "{method} {route}"
                );
            } else if *route == path::PAIR {
                reply.refused_field(400, "bad_request", "code");
            } else {
                assert_eq!(reply.status, 200, "{method} {route}");
            }
        }
        assert!(methods > 0, "{route} takes no method");
    }
    // The page is code, the same for all; what it shows it has to ask for.
    let page = world.ask(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", world.at)).await;
    assert_eq!(page.status, 200);
}

#[tokio::test]
async fn the_document_has_exactly_the_routes() {
    let world = World::start().await;
    let document = world.get("/openapi.json").await.ok();
    let described: BTreeSet<_> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let routes: BTreeSet<_> = path::API.iter().copied().collect();
    assert_eq!(described, routes);
}

#[tokio::test]
async fn the_document_has_exactly_the_methods() {
    let world = World::start().await;
    let document = world.get("/openapi.json").await.ok();
    for (route, item) in document["paths"].as_object().unwrap() {
        let url = route.replace("{id}", "x").replace("{name}", "x");
        for method in ["get", "post", "put", "patch", "delete"] {
            let method_line = method.to_uppercase();
            let request = format!(
                "{method_line} {url} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n",
                world.at
            );
            let there = world.ask(request).await.status != 405;
            assert_eq!(
                there,
                item.get(method).is_some_and(Value::is_object),
                "{method_line} {route}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_and_a_wrong_method_is_405() {
    let world = World::start().await;
    for url in [
        "/api",
        "/api/nothing",
        "/nothing",
        "/api/events/",
        "/api/sessions/a/nothing",
        "/API/events",
        "/api/events/history/x",
        "/.env",
        "/api/tokens/a/b",
    ] {
        world.get(url).await.refused(404, "not_found");
    }
    for (method, url) in [
        ("PUT", "/api/events"),
        ("DELETE", "/api/events"),
        ("PATCH", "/api/events"),
        ("POST", "/api/events/history"),
        ("POST", "/healthz"),
        ("GET", "/api/pair"),
        ("BREW", "/api/events"),
    ] {
        let reply = world.ask(world.request(method, url, "application/json", "")).await;
        reply.refused(405, "method_not_allowed");
        assert!(reply.headers.contains_key("allow"), "{method} {url}");
    }
}
