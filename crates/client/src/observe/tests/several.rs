//! Several observers side by side: in a tee, behind queues, in the process-wide hook.

use std::sync::{
    Arc, Mutex,
    mpsc::{Receiver, Sender, channel},
};

use super::{super::*, Heard, Panics, about, note};

/// The hook is the process's, and tests may share one: held by each test that tells it something.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Longer than anything here takes: what is still not done then has failed.
const LONG: Duration = Duration::from_secs(60);

/// Says that it has begun to take an event, and stands still until it is let on, each time.
struct Stuck {
    heard: Heard,
    begun: Sender<()>,
    on: Mutex<Receiver<()>>,
}

/// The observer, what it heard, when it has begun, and how it is let on: for ever, by dropping it.
fn stuck() -> (Stuck, Heard, Receiver<()>, Sender<()>) {
    let (heard, (begun, has_begun), (let_on, on)) = (Heard::default(), channel(), channel());
    let stuck = Stuck {
        heard: heard.clone(),
        begun,
        on: Mutex::new(on),
    };
    (stuck, heard, has_begun, let_on)
}

impl Observer for Stuck {
    fn record_event(&self, event: &ObserverEvent) {
        let _ = self.begun.send(());
        let _ = self.on.lock().unwrap().recv();
        self.heard.record_event(event);
    }

    fn record_metric(&self, _metric: &Metric) {}

    fn flush(&self) {}

    fn name(&self) -> &'static str {
        "stuck"
    }
}

#[test]
fn one_that_panics_hurts_neither_the_caller_nor_the_others() {
    let heard = Heard::default();
    let tee = Tee::new()
        .and_direct(Arc::new(Panics))
        .and(Panics)
        .unwrap()
        .and_direct(heard.shared());
    for text in ["a", "b"] {
        tee.record_event(&note(text));
    }
    tee.record_metric(&Metric::add("x", 1));
    tee.flush();
    assert!(!tee.settle(LONG), "one of them could not say that all is well");
    assert_eq!(heard.notes(), ["a", "b"]);
}

#[test]
fn one_that_stands_still_holds_up_neither_the_caller_nor_the_others() {
    let (stuck, slow, has_begun, let_on) = stuck();
    let heard = Heard::default();
    let tee = Tee::new()
        .and(stuck)
        .unwrap()
        .and(heard.clone())
        .unwrap()
        .and_direct(heard.shared());
    let (tell, told) = channel();
    let telling = tee.clone();
    std::thread::spawn(move || {
        for text in ["a", "b", "c"] {
            telling.record_event(&note(text));
        }
        tell.send(())
    });
    told.recv_timeout(LONG).expect("the caller was held up");
    has_begun.recv().unwrap();
    assert!(!tee.settle(Duration::ZERO), "it stands still");
    assert!(slow.notes().is_empty());
    drop(let_on);
    assert!(tee.settle(LONG));
    assert_eq!(slow.notes(), ["a", "b", "c"], "what waited came in its order");
    assert_eq!(heard.notes().len(), 6);
}

#[test]
fn a_full_queue_drops_the_newest_and_counts_and_tells_it() {
    let (stuck, heard, has_begun, let_on) = stuck();
    let queue = Queued::new(stuck).unwrap();
    queue.record_event(&note("first"));
    has_begun.recv().unwrap();
    for n in 1..queue::EVENTS + 5 {
        queue.record_event(&note(&n.to_string()));
    }
    assert_eq!(queue.lost(), 5);
    drop(let_on);
    assert!(queue.settle(LONG));
    assert_eq!(heard.notes().len(), queue::EVENTS);
    assert_eq!(heard.notes().last().unwrap(), &(queue::EVENTS - 1).to_string());
    let bodies = heard.bodies();
    let (kind, told) = bodies.last().unwrap();
    assert_eq!(kind, "error");
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .starts_with("5 events and metrics were dropped"),
        "{told}"
    );
    queue.record_event(&note("again"));
    assert!(queue.settle(LONG));
    assert_eq!((heard.notes().last().unwrap().as_str(), queue.lost()), ("again", 5));
}

#[test]
fn a_queue_is_bounded_in_bytes_too() {
    let (stuck, heard, has_begun, let_on) = stuck();
    let queue = Queued::new(stuck).unwrap();
    queue.record_event(&note("first"));
    has_begun.recv().unwrap();
    let long = "x".repeat(queue::BYTES / 3);
    for _ in 0..5 {
        queue.record_event(&note(&long));
    }
    assert_eq!(queue.lost(), 3);
    drop(let_on);
    assert!(queue.settle(LONG));
    assert_eq!(heard.notes().len(), 3);
}

#[test]
fn what_waits_is_passed_on_though_its_queue_is_dropped() {
    let (stuck, heard, has_begun, let_on) = stuck();
    let queue = Queued::new(stuck).unwrap();
    queue.record_event(&note("a"));
    queue.record_event(&note("b"));
    has_begun.recv().unwrap();
    drop(queue);
    drop(let_on);
    has_begun.recv().unwrap();
    // The observer goes with its thread, and only then its end of this.
    assert!(has_begun.recv().is_err());
    assert_eq!(heard.notes(), ["a", "b"]);
}

#[test]
fn two_hooks_both_hear_and_a_guard_removes_its_own_only_in_any_order() {
    let _alone = alone();
    for first_goes_first in [true, false] {
        let (one, two) = (Heard::default(), Heard::default());
        let first = hook(one.shared());
        let second = hook(two.shared());
        record_event(&note("both"));
        let (heard, gone, last) = if first_goes_first {
            drop(first);
            (&two, &one, second)
        } else {
            drop(second);
            (&one, &two, first)
        };
        record_event(&note("one"));
        drop(last);
        record_event(&note("none"));
        assert_eq!(heard.notes(), ["both", "one"]);
        assert_eq!(gone.notes(), ["both"]);
    }
}

#[test]
fn a_hook_hears_every_thread_and_its_guard_may_go_on_another() {
    let _alone = alone();
    let heard = Heard::default();
    let guard = hook(heard.shared());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|n| record_event(&note(&n.to_string()))));
            scope.spawn(|| drop(hook(Arc::new(Noop))));
        }
    });
    std::thread::spawn(move || drop(guard)).join().unwrap();
    record_event(&note("late"));
    assert_eq!(heard.notes().len(), 400);
}

#[test]
fn a_hook_may_change_the_hooks_while_it_is_told() {
    let _alone = alone();
    /// Installs another when it is told something, and goes.
    struct Installs(Heard, Mutex<Option<HookGuard>>, Mutex<Option<HookGuard>>);
    impl Observer for Installs {
        fn record_event(&self, _event: &ObserverEvent) {
            *self.1.lock().unwrap() = Some(hook(self.0.shared()));
            drop(self.2.lock().unwrap().take());
        }
        fn record_metric(&self, _metric: &Metric) {}
        fn flush(&self) {}
        fn name(&self) -> &'static str {
            "installs"
        }
    }
    let heard = Heard::default();
    let installs = Arc::new(Installs(heard.clone(), Mutex::default(), Mutex::default()));
    let guard = hook(Arc::clone(&installs) as Arc<dyn Observer>);
    *installs.2.lock().unwrap() = Some(guard);
    record_event(&note("a"));
    record_event(&note("b"));
    assert_eq!(heard.notes(), ["b"]);
    drop(installs.1.lock().unwrap().take());
}

#[test]
fn those_who_heard_a_turns_start_hear_its_end() {
    let _alone = alone();
    let (early, late) = (Heard::default(), Heard::default());
    let guard = hook(early.shared());
    let turn = Turn::start(about(), TurnStart::default());
    drop(guard);
    let _guard = hook(late.shared());
    turn.ok();
    assert_eq!(early.bodies().len(), 2);
    assert!(
        late.bodies().iter().all(|(kind, _)| kind != "turn_end"),
        "it heard no start"
    );
}
