//! The bounds of a gateway, each a flag and a variable of the same name.

use std::time::Duration;

use clap::Args as ClapArgs;
use turnwire_server::config::Limits;

use super::{size, span};

/// What a limit in time may be.
const TIMES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// Each has a variable, such as TURNWIRE_MAX_CONNECTIONS
#[derive(Clone, Copy, Debug, ClapArgs)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitFlags {
    /// Connections at once; one more is answered 503
    #[arg(long, env = "TURNWIRE_MAX_CONNECTIONS", value_name = "N", default_value_t = 16_384, hide_env = true,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// The head of a request
    #[arg(long, env = "TURNWIRE_HEAD_BYTES", value_name = "SIZE", default_value = "32K", hide_env = true,
          value_parser = |text: &str| bytes(text, 8 << 10, 1 << 20))]
    head_bytes: usize,
    /// How long a head may take to arrive
    #[arg(long, env = "TURNWIRE_HEAD_TIME", value_name = "TIME", default_value = "10s", hide_env = true, value_parser = time)]
    head_time: Duration,
    /// How long a body of events may stand still
    #[arg(long, env = "TURNWIRE_BODY_TIME", value_name = "TIME", default_value = "30s", hide_env = true, value_parser = time)]
    body_time: Duration,
    /// How long a connection may be idle between requests
    #[arg(long, env = "TURNWIRE_IDLE_TIME", value_name = "TIME", default_value = "120s", hide_env = true, value_parser = time)]
    idle_time: Duration,
    /// Events of a publish that is one object or array
    #[arg(long, env = "TURNWIRE_BATCH_EVENTS", value_name = "N", default_value_t = 10_000, hide_env = true,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch_events: u32,
    /// Bytes of such a publish
    #[arg(long, env = "TURNWIRE_BATCH_BYTES", value_name = "SIZE", default_value = "32M", hide_env = true,
          value_parser = |text: &str| bytes(text, 2 << 20, 1 << 30))]
    batch_bytes: usize,
    /// How often a silent stream says that it lives
    #[arg(long, env = "TURNWIRE_HEARTBEAT", value_name = "TIME", default_value = "15s", hide_env = true, value_parser = time)]
    heartbeat: Duration,
    /// How long a reader may take nothing of what it was sent
    #[arg(long, env = "TURNWIRE_WRITE_DEADLINE", value_name = "TIME", default_value = "30s", hide_env = true,
          value_parser = time)]
    write_deadline: Duration,
    /// How long streams and requests have to end when it stops
    #[arg(long, env = "TURNWIRE_SHUTDOWN_GRACE", value_name = "TIME", default_value = "10s", hide_env = true,
          value_parser = time)]
    shutdown_grace: Duration,
    /// The newest events in memory
    #[arg(long, env = "TURNWIRE_RING_BYTES", value_name = "SIZE", default_value = "8M", hide_env = true,
          value_parser = |text: &str| bytes(text, 64 << 10, 64 << 30))]
    ring_bytes: usize,
    /// Publishes that may wait for the log's writer; one more is answered 503
    #[arg(long, env = "TURNWIRE_APPEND_QUEUE", value_name = "N", default_value_t = 4096, hide_env = true,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    append_queue: u32,
    /// Open commands of one agent; one more is answered 429
    #[arg(long, env = "TURNWIRE_AGENT_QUEUE", value_name = "N", default_value_t = 256, hide_env = true,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    agent_queue: u32,
    /// How long an agent is silent before it is offline
    #[arg(long, env = "TURNWIRE_AGENT_SILENCE", value_name = "TIME", default_value = "40s", hide_env = true,
          value_parser = time)]
    agent_silence: Duration,
    /// How long a session that works is silent before it is said to be stalled
    #[arg(long, env = "TURNWIRE_STALLED_AFTER", value_name = "TIME", default_value = "10m", hide_env = true,
          value_parser = time)]
    stalled_after: Duration,
    /// How long it is silent before its turn is closed
    #[arg(long, env = "TURNWIRE_LOST_AFTER", value_name = "TIME", default_value = "1d", hide_env = true, value_parser = span)]
    lost_after: Duration,
    /// How long a chat may wait for its reply
    #[arg(long, env = "TURNWIRE_REPLY_WAIT", value_name = "TIME", default_value = "120s", hide_env = true, value_parser = time)]
    reply_wait: Duration,
    /// How often a chat's WebSocket is pinged
    #[arg(long, env = "TURNWIRE_SOCKET_PING", value_name = "TIME", default_value = "20s", hide_env = true, value_parser = time)]
    socket_ping: Duration,
    /// How long a chat's WebSocket may be silent before it is closed
    #[arg(long, env = "TURNWIRE_SOCKET_SILENCE", value_name = "TIME", default_value = "60s", hide_env = true,
          value_parser = time)]
    socket_silence: Duration,
    /// How long an approval waits whose request does not say until when
    #[arg(long, env = "TURNWIRE_APPROVAL_WAIT", value_name = "TIME", default_value = "10m", hide_env = true,
          value_parser = time)]
    approval_wait: Duration,
}

impl LimitFlags {
    /// As the server takes them.
    pub(crate) fn limits(self) -> Limits {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Limits {
            connections: count(self.max_connections),
            head_bytes: self.head_bytes,
            head_time: self.head_time,
            body_time: self.body_time,
            idle_time: self.idle_time,
            batch_events: count(self.batch_events),
            batch_bytes: self.batch_bytes,
            heartbeat: self.heartbeat,
            write_deadline: self.write_deadline,
            shutdown_grace: self.shutdown_grace,
            ring_bytes: self.ring_bytes,
            append_queue: count(self.append_queue),
            agent_queue: count(self.agent_queue),
            agent_silence: self.agent_silence,
            stalled_after: self.stalled_after,
            lost_after: self.lost_after,
            approval_wait: self.approval_wait,
            reply_wait: self.reply_wait,
            socket_ping: self.socket_ping,
            socket_silence: self.socket_silence,
        }
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let time = span(text)?;
    if TIMES.contains(&time) {
        Ok(time)
    } else {
        Err("it must be from 1s to 1d".to_owned())
    }
}

fn bytes(text: &str, least: u64, most: u64) -> Result<usize, String> {
    let bytes = size(text)?;
    if (least..=most).contains(&bytes) {
        usize::try_from(bytes).map_err(|error| error.to_string())
    } else {
        Err(format!("it must be from {} to {}", shown(least), shown(most)))
    }
}

/// A round number of bytes, as it would be typed.
fn shown(bytes: u64) -> String {
    let units = [(30, "G"), (20, "M"), (10, "K")];
    let unit = units.iter().find(|(shift, _)| bytes >> shift > 0);
    unit.map_or_else(
        || bytes.to_string(),
        |(shift, unit)| format!("{}{unit}", bytes >> shift),
    )
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::args::{Args, Command};

    fn limits(more: &[&str]) -> Result<Limits, String> {
        let args = Args::try_parse_from([&["turnwire", "serve"], more].concat()).map_err(|error| error.to_string())?;
        let Command::Serve(serve) = args.command else {
            panic!("not serve")
        };
        Ok(serve.limits.limits())
    }

    #[test]
    fn without_flags_the_limits_are_the_servers_defaults() {
        assert_eq!(limits(&[]).unwrap(), Limits::default());
    }

    #[test]
    fn every_limit_can_be_set() {
        let set = limits(&[
            "--max-connections=1",
            "--head-bytes=8K",
            "--head-time=2s",
            "--body-time=3s",
            "--idle-time=4m",
            "--batch-events=5",
            "--batch-bytes=6M",
            "--heartbeat=7s",
            "--write-deadline=8s",
            "--shutdown-grace=9s",
            "--ring-bytes=64K",
            "--append-queue=10",
            "--agent-queue=11",
            "--agent-silence=12s",
            "--stalled-after=14s",
            "--lost-after=30d",
            "--approval-wait=13s",
            "--reply-wait=14s",
            "--socket-ping=15s",
            "--socket-silence=16s",
        ]);
        let expected = Limits {
            connections: 1,
            head_bytes: 8192,
            head_time: Duration::from_secs(2),
            body_time: Duration::from_secs(3),
            idle_time: Duration::from_secs(240),
            batch_events: 5,
            batch_bytes: 6 << 20,
            heartbeat: Duration::from_secs(7),
            write_deadline: Duration::from_secs(8),
            shutdown_grace: Duration::from_secs(9),
            ring_bytes: 64 << 10,
            append_queue: 10,
            agent_queue: 11,
            agent_silence: Duration::from_secs(12),
            stalled_after: Duration::from_secs(14),
            lost_after: Duration::from_hours(30 * 24),
            approval_wait: Duration::from_secs(13),
            reply_wait: Duration::from_secs(14),
            socket_ping: Duration::from_secs(15),
            socket_silence: Duration::from_secs(16),
        };
        assert_eq!(set.unwrap(), expected);
    }

    #[test]
    fn a_limit_that_cannot_be_is_refused_with_what_may_be() {
        for (flag, why) in [
            ("--max-connections=0", "1..=1000000"),
            ("--head-bytes=1", "from 8K to 1M"),
            ("--batch-bytes=2G", "from 2M to 1G"),
            ("--ring-bytes=16", "from 64K to 64G"),
            ("--heartbeat=2d", "from 1s to 1d"),
            ("--write-deadline=soon", "such as 30d"),
            ("--append-queue=many", "--append-queue <N>"),
        ] {
            let error = limits(&[flag]).unwrap_err();
            let name = flag.split('=').next().unwrap();
            assert!(error.contains(why) && error.contains(name), "{error}");
        }
    }

    #[test]
    fn what_serve_keeps_and_bounds_has_a_variable_of_the_flags_name() {
        let command = Args::command();
        let serve = command.find_subcommand("serve").unwrap();
        let said_on_purpose_only = ["allow-remote", "no-auth", "json", "verbose", "help", "version"];
        for arg in serve.get_arguments() {
            let flag = arg.get_long().unwrap();
            let variable = arg.get_env().map(|name| name.to_string_lossy().into_owned());
            let expected = format!("TURNWIRE_{}", flag.to_uppercase().replace('-', "_"));
            let expected = (!said_on_purpose_only.contains(&flag)).then_some(expected);
            assert_eq!(variable, expected, "--{flag}");
        }
    }
}
