//! An agent that a test plays, through the real downlink of a real gateway.

use tokio::runtime::Runtime;
use turnwire_client::{
    Endpoint,
    downlink::{Downlink, Item, Order, Said, Verdict},
};
use turnwire_proto::Name;

use crate::world::World;

/// See the module.
pub(crate) struct Player {
    runtime: Runtime,
    link: Downlink,
}

impl Player {
    pub(crate) fn start(world: &World, name: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let endpoint = Endpoint::local(&world.data_dir()).unwrap();
        let connect = async { Downlink::builder(endpoint).agent(Name::new(name).unwrap()).connect() };
        let mut this = Self {
            link: runtime.block_on(connect),
            runtime,
        };
        // Asked for a report, it is there.
        while !matches!(this.item(), Item::Sync { .. }) {}
        this
    }

    fn item(&mut self) -> Item {
        self.runtime.block_on(self.link.next()).expect("the downlink has ended")
    }

    pub(crate) fn order(&mut self) -> Order {
        loop {
            if let Item::Order(order) = self.item() {
                return order;
            }
        }
    }

    pub(crate) fn says(&self, order: &Order, said: Said) {
        let verdict = self.runtime.block_on(self.link.ack(order.id, said));
        assert_eq!(verdict.unwrap(), Verdict::Stands);
    }
}
