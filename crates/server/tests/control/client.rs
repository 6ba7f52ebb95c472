//! The client crate's end of the downlink, on the server that it is made for.

use serde_json::json;
use turnwire_client::{
    Endpoint,
    downlink::{Downlink, Item, Order, Said, Verdict},
};
use turnwire_proto::Object;

use crate::world::{World, within};

async fn order(link: &mut Downlink) -> Order {
    let wanted = async {
        loop {
            match link.next().await {
                Some(Item::Order(order)) => break order,
                Some(_) => {}
                None => panic!("the downlink ended: {}", link.ended().await),
            }
        }
    };
    within("an order", wanted).await
}

#[tokio::test]
async fn an_order_reaches_an_agent_of_the_client_crate_and_what_it_says_is_what_everybody_sees() {
    let world = World::start().await;
    let key = world.key("a").await;
    let early = world.say("a", "before it was there").await;
    let endpoint = Endpoint::new(&format!("http://{}", world.at), Some(&key)).unwrap();
    let mut link = Downlink::builder(endpoint).connect();
    let late = async { world.say("a", "while it is there").await };
    let (first, late) = tokio::join!(order(&mut link), late);
    let second = order(&mut link).await;
    for (got, sent) in [(&first, &early), (&second, &late)] {
        assert_eq!(json!(got.id), sent["id"]);
        assert_eq!(got.args.get(), sent["args"].to_string());
    }
    assert_eq!(link.ack(first.id, Said::Acked).await.unwrap(), Verdict::Stands);
    let result = Object::of(&json!({"turns": 1}));
    assert_eq!(
        link.ack(first.id, Said::DoneWith(result)).await.unwrap(),
        Verdict::Stands
    );
    let done = world.command(&early["id"]).await;
    assert_eq!(
        (&done["state"], &done["result"]),
        (&json!("done"), &json!({"turns": 1}))
    );
    world.withdraw(&late["id"]).await.ok();
    assert!(matches!(
        link.ack(second.id, Said::Acked).await.unwrap(),
        Verdict::Overtaken { .. }
    ));
    link.close();
    within("the end", link.ended()).await;
}
