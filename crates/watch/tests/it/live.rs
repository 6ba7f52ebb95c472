//! The loop itself: what is written is told without anybody asking, by the kernel's word or by looking.

use std::time::{Duration, Instant};

use turnwire_watch::{Options, Tailer, stop};

use crate::world::World;

fn follows(polling: bool) {
    let world = World::new();
    let options = Options {
        state: world.path("../state"),
        import: false,
        polling,
    };
    let tailer = Tailer::new(vec![world.source("lines")], &options, Box::new(world.taken.clone())).unwrap();
    let counts = tailer.counts();
    let (stop, stopped) = stop().unwrap();
    let running = std::thread::spawn(move || tailer.run(&stopped));
    let wait = |what: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !what() {
            assert!(Instant::now() < deadline, "{:?}", world.taken.notes());
            std::thread::yield_now();
        }
    };
    wait(&|| counts.found.load(std::sync::atomic::Ordering::Relaxed));
    for round in 0..5 {
        // A new directory each time, and one file that grows.
        world.append(&format!("d{round}/deep/new.jsonl"), &format!("new {round}\n"));
        world.append("a.jsonl", &format!("more {round}\n"));
        wait(&|| world.taken.notes().len() == (round + 1) * 2);
    }
    drop(stop);
    running.join().unwrap().unwrap();
}

#[test]
fn what_is_written_is_told_at_once_in_directories_that_grow() {
    follows(false);
}

#[test]
fn what_is_written_is_told_soon_where_the_kernel_tells_nothing() {
    follows(true);
}
