//! What is measured, and what the server owes in it.

/// A workload at one size, and the servers that run it.
pub(super) struct Case {
    /// What `--only` calls it.
    pub(super) group: &'static str,
    pub(super) what: &'static str,
    pub(super) load: Load,
    pub(super) targets: &'static [&'static str],
    pub(super) bars: &'static [Bar],
}

#[derive(Clone, Copy)]
pub(super) enum Load {
    /// One publisher, `subs` readers, as fast as it goes.
    Fanout { subs: u64, batch: u64 },
    /// The same at a fixed rate.
    Paced { subs: u64, rate: u64 },
    /// Readers that wait.
    Idle { conns: u64 },
    /// Publishers that wait for every acknowledgement.
    Ingest { conns: u64, batch: u64 },
    /// One reader of all that is stored.
    Replay { count: u64 },
    /// One reader a session, `rate` events over all; against the same rate over `few`.
    Sessions { sessions: u64, few: u64, rate: u64 },
    /// A server at rest that stores `count`, then the same after a restart.
    Resident { count: u64 },
}

/// One thing that the server owes.
pub(super) struct Bar {
    pub(super) must: Must,
    pub(super) metric: &'static str,
    pub(super) sense: Sense,
    pub(super) value: f64,
    pub(super) of: Of,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Must {
    AtLeast,
    Aim,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sense {
    NotBelow,
    NotAbove,
}

/// What a figure is divided by before it is held against the bar.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Target(&'static str),
    Nothing,
}

/// What every figure is divided by: one write a delivery, one fdatasync a round of requests.
pub(super) const BASE: &str = "limit";
/// What the bars are for.
pub(super) const OURS: &str = "turnwire";

const LIMIT: Of = Of::Target(BASE);
const DURABLE: Of = Of::Target("coalesce-durable");

const fn not_below(must: Must, metric: &'static str, value: f64, of: Of) -> Bar {
    Bar {
        must,
        metric,
        sense: Sense::NotBelow,
        value,
        of,
    }
}

const fn not_above(must: Must, metric: &'static str, value: f64, of: Of) -> Bar {
    Bar {
        must,
        metric,
        sense: Sense::NotAbove,
        value,
        of,
    }
}

use Must::{Aim, AtLeast};

const RATE: &str = "deliveries_per_s";
const CPU: &str = "cpu_s_per_million";
const EVENTS: &str = "events_per_s";

/// Everyone who can fan out.
const FAN: &[&str] = &[
    "limit",
    "coalesce",
    "coalesce-durable",
    "turnwire",
    "durable-streams-rs",
    "nats",
    "jetstream",
    "redis-everysec",
    "nchan",
];
/// Everyone who takes several events in one request.
const BATCHED: &[&str] = &[
    "limit",
    "coalesce",
    "coalesce-durable",
    "turnwire",
    "durable-streams-rs",
    "nats",
    "jetstream",
];
/// Everyone who holds idle readers.
const HOLD: &[&str] = &[
    "limit",
    "turnwire",
    "durable-streams-rs",
    "nats",
    "jetstream",
    "redis-everysec",
    "nchan",
];
/// Everyone who stores; of these, JetStream and redis-everysec acknowledge before the disk has it.
const STORE: &[&str] = &[
    "limit",
    "turnwire",
    "durable-streams-rs",
    "redis-always",
    "redis-everysec",
    "jetstream",
];
/// Everyone who can be read from the start; nchan could, in quadratic time.
const REPLAY: &[&str] = &[
    "limit",
    "limit-sqlite",
    "turnwire",
    "durable-streams-rs",
    "redis-everysec",
    "jetstream",
];

/// Nine tenths: figures of one run differ by that much on a quiet machine.
const LEVEL: f64 = 0.9;

pub(super) const CASES: &[Case] = &[
    Case {
        group: "W1",
        what: "W1 fan-out, 1,000 readers",
        load: Load::Fanout { subs: 1000, batch: 1 },
        targets: FAN,
        bars: &[
            not_below(AtLeast, RATE, 11.0, LIMIT),
            not_above(AtLeast, CPU, 0.12, LIMIT),
            not_below(Aim, RATE, 20.0, LIMIT),
        ],
    },
    Case {
        group: "W1",
        what: "W1 fan-out, 5,000 readers",
        load: Load::Fanout { subs: 5000, batch: 1 },
        targets: FAN,
        bars: &[
            not_below(AtLeast, RATE, 10.0, LIMIT),
            not_below(Aim, RATE, 0.6, DURABLE),
        ],
    },
    Case {
        group: "W1",
        what: "W1 fan-out, 100 readers, 64 events a POST",
        load: Load::Fanout { subs: 100, batch: 64 },
        targets: BATCHED,
        bars: &[
            not_below(AtLeast, RATE, 20.0, LIMIT),
            not_below(Aim, RATE, 0.9, DURABLE),
        ],
    },
    Case {
        group: "W1",
        what: "W1 fan-out, 1,000 readers, 64 events a POST",
        load: Load::Fanout { subs: 1000, batch: 64 },
        targets: BATCHED,
        bars: &[
            not_below(AtLeast, RATE, 25.0, LIMIT),
            not_below(Aim, RATE, 0.9, DURABLE),
        ],
    },
    Case {
        group: "W1",
        what: "W1 fan-out, 1 reader",
        load: Load::Fanout { subs: 1, batch: 1 },
        targets: FAN,
        bars: &[],
    },
    Case {
        group: "W1",
        what: "W1 fan-out, 100 readers",
        load: Load::Fanout { subs: 100, batch: 1 },
        targets: FAN,
        bars: &[not_below(AtLeast, RATE, 1.2, LIMIT), not_below(Aim, RATE, 10.0, LIMIT)],
    },
    Case {
        group: "W2",
        what: "W2 latency, 100 readers, 1,000 events/s",
        load: Load::Paced { subs: 100, rate: 1000 },
        targets: FAN,
        bars: &[
            not_above(AtLeast, "p50_us", 2.2, LIMIT),
            not_above(AtLeast, "p99_us", 3.0, LIMIT),
            not_above(Aim, "p50_us", 1.2, DURABLE),
        ],
    },
    Case {
        group: "W3",
        what: "W3 10,000 idle readers",
        load: Load::Idle { conns: 10_000 },
        targets: HOLD,
        bars: &[
            not_above(AtLeast, "rss_kb_per_conn", 4.0, Of::Nothing),
            not_above(Aim, "rss_kb_per_conn", 1.2, Of::Nothing),
        ],
    },
    Case {
        group: "W4",
        what: "W4 durable publish, 64 publishers × 1 event",
        load: Load::Ingest { conns: 64, batch: 1 },
        targets: STORE,
        bars: &[
            not_below(AtLeast, EVENTS, 0.6, LIMIT),
            not_below(Aim, EVENTS, 0.9, LIMIT),
        ],
    },
    Case {
        group: "W4",
        what: "W4 durable publish, 8 publishers × 100 events",
        load: Load::Ingest { conns: 8, batch: 100 },
        targets: STORE,
        bars: &[
            not_below(AtLeast, EVENTS, 0.35, LIMIT),
            not_below(AtLeast, EVENTS, LEVEL, Of::Target("redis-always")),
            not_below(Aim, EVENTS, 1.0, LIMIT),
        ],
    },
    Case {
        group: "W5",
        what: "W5 replay of 1,000,000 events",
        load: Load::Replay { count: 1_000_000 },
        targets: REPLAY,
        bars: &[
            not_below(AtLeast, EVENTS, 1.0, Of::Target("redis-everysec")),
            not_below(Aim, EVENTS, 1.0, Of::Target("limit-sqlite")),
        ],
    },
    Case {
        group: "sessions",
        what: "10,000 sessions with a reader each, 10,000 events/s",
        load: Load::Sessions {
            sessions: 10_000,
            few: 100,
            rate: 10_000,
        },
        targets: &["turnwire"],
        bars: &[
            not_above(AtLeast, "cpu_vs_few", 2.0, Of::Nothing),
            // Equal, within what two runs differ by.
            not_above(Aim, "cpu_vs_few", 1.1, Of::Nothing),
        ],
    },
    Case {
        group: "resident",
        what: "at rest with 1,000,000 events stored",
        load: Load::Resident { count: 1_000_000 },
        targets: &["turnwire", "durable-streams-rs", "redis-everysec", "jetstream"],
        bars: &[
            not_above(AtLeast, "rss_mb", 64.0, Of::Nothing),
            not_above(AtLeast, "rss_mb_restarted", 64.0, Of::Nothing),
            not_above(Aim, "rss_mb", 32.0, Of::Nothing),
            not_above(Aim, "rss_mb_restarted", 32.0, Of::Nothing),
        ],
    },
];

/// What the tables call a metric.
pub(super) fn title(metric: &str) -> &str {
    match metric {
        "deliveries_per_s" => "deliveries/s",
        "events_per_s" => "events/s",
        "cpu_s_per_million" => "CPU s/million deliveries",
        "p50_us" => "p50 µs",
        "p99_us" => "p99 µs",
        "p999_us" => "p99.9 µs",
        "pub_lag_p99_us" => "publisher's lag p99 µs",
        "ack_p50_us" => "ack p50 µs",
        "ack_p99_us" => "ack p99 µs",
        "server_cpu_us_per_event" => "CPU µs/event",
        "server_cpu_cores" => "server's cores",
        "gen_cpu_cores" => "generator's cores",
        "peak_rss_mb" => "peak MB",
        "rss_kb_per_conn" => "KB/reader",
        "slab_kb_per_conn" => "kernel KB/reader",
        "total_kb_per_conn" => "KB/reader with the kernel's",
        "connects_per_s" => "connects/s",
        "cpu_s_per_million_few" => "the same with 100 sessions",
        "cpu_vs_few" => "× CPU a delivery with 100 sessions",
        "rss_mb" => "MB after the fill",
        "rss_mb_restarted" => "MB after a restart",
        other => other,
    }
}

impl Load {
    /// The same at a tenth of the size, to see that it works.
    pub(super) fn tenth(self) -> Self {
        match self {
            Self::Fanout { subs, batch } => Self::Fanout {
                subs: subs.div_ceil(10),
                batch,
            },
            Self::Paced { subs, rate } => Self::Paced { subs, rate: rate / 10 },
            Self::Idle { conns } => Self::Idle { conns: conns / 10 },
            Self::Ingest { conns, batch } => Self::Ingest { conns, batch },
            Self::Replay { count } => Self::Replay { count: count / 10 },
            Self::Sessions { sessions, few, rate } => Self::Sessions {
                sessions: sessions / 10,
                few,
                rate: rate / 10,
            },
            Self::Resident { count } => Self::Resident { count: count / 10 },
        }
    }

    /// The metrics of its table; the first `.0` of them also as a ratio to the limit.
    pub(super) fn columns(self) -> (usize, &'static [&'static str]) {
        match self {
            Self::Fanout { .. } => (
                2,
                &[
                    RATE,
                    CPU,
                    "events_per_s",
                    "peak_rss_mb",
                    "server_cpu_cores",
                    "gen_cpu_cores",
                    "lost",
                    "out_of_order",
                ],
            ),
            Self::Paced { .. } => (
                2,
                &[
                    "p50_us",
                    "p99_us",
                    "p999_us",
                    "server_cpu_cores",
                    "peak_rss_mb",
                    "pub_lag_p99_us",
                    "lost",
                    "out_of_order",
                ],
            ),
            Self::Idle { .. } => (
                1,
                &[
                    "total_kb_per_conn",
                    "rss_kb_per_conn",
                    "slab_kb_per_conn",
                    "connected",
                    "connects_per_s",
                    "delivered_fraction",
                ],
            ),
            Self::Ingest { .. } => (
                1,
                &[
                    EVENTS,
                    "ack_p50_us",
                    "ack_p99_us",
                    "server_cpu_us_per_event",
                    "peak_rss_mb",
                ],
            ),
            Self::Replay { .. } => (
                1,
                &[
                    EVENTS,
                    "first_event_ms",
                    "seconds",
                    "server_cpu_us_per_event",
                    "peak_rss_mb",
                    "lost",
                    "out_of_order",
                ],
            ),
            Self::Sessions { .. } => (
                0,
                &[
                    "cpu_vs_few",
                    CPU,
                    "cpu_s_per_million_few",
                    "deliveries_per_s",
                    "p50_us",
                    "p99_us",
                    "peak_rss_mb",
                    "lost",
                    "strays",
                ],
            ),
            Self::Resident { .. } => (
                0,
                &[
                    "rss_mb",
                    "rss_mb_restarted",
                    "anon_mb",
                    "anon_mb_restarted",
                    "peak_rss_mb",
                ],
            ),
        }
    }
}
