//! One publisher on one connection, requests pipelined in order, with bounded events in flight.

use crate::payload::now_ns;
use crate::subs::Shared;
use crate::target::Target;
use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

pub struct Plan {
    pub duration: Duration,
    pub max_events: u64,
    /// Events per second; 0 for as fast as the window lets through.
    pub rate: u64,
    /// Most events published and not yet delivered to the average subscriber.
    pub window: u64,
    /// Most requests sent and not yet answered.
    pub pipeline: u64,
    pub batch: u64,
    pub subscribers: u64,
    /// A new connection for every request, for servers without keep-alive.
    pub reconnect: bool,
}

pub struct Published {
    pub events: u64,
    pub started: Instant,
    /// How late the paced publisher was against its schedule.
    pub lag_ns: Histogram<u64>,
    /// Deliveries given up because nothing arrived for a second with the window full.
    pub written_off: u64,
}

/// ppoll(2): sleeps more precisely than a runtime's timer.
fn wait(fd: i32, events: i16, timeout: Duration) {
    let mut poll = libc::pollfd { fd, events, revents: 0 };
    let time = libc::timespec {
        tv_sec: timeout.as_secs() as _,
        tv_nsec: timeout.subsec_nanos() as _,
    };
    // SAFETY: one pollfd, one timespec, both alive during the call.
    unsafe { libc::ppoll(&mut poll, 1, &time, std::ptr::null()) };
}

fn connect(target: &Target) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(target.pub_addr()?)?;
    stream.set_nodelay(true)?;
    stream.write_all(target.pub_hello().as_bytes())?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

pub fn publish(target: &Target, plan: &Plan, shared: &Shared) -> Result<Published> {
    // SAFETY: the option takes an integer and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1000usize) };
    let mut stream = connect(target)?;
    let mut open = true;
    let replies_per_request = target.replies_per_request(plan.batch);
    let (mut inbuf, mut outbuf, mut scratch) = (Vec::new(), Vec::new(), vec![0u8; 64 * 1024]);
    let (mut sent, mut requests, mut replies, mut written_off) = (0u64, 0u64, 0u64, 0u64);
    let (mut last_delivered, mut progress_at) = (0u64, Instant::now());
    let mut lag_ns = Histogram::new_with_bounds(1, 120_000_000_000, 3)?;
    let started = Instant::now();
    let wall_start = now_ns();
    let end = started + plan.duration;
    // When a request that starts with event n is due, for a paced publisher.
    let due_ns = (plan.rate > 0).then_some(|n: u64| n * 1_000_000_000 / plan.rate);
    loop {
        let fd = if open { stream.as_raw_fd() } else { -1 };
        match if open {
            stream.read(&mut scratch)
        } else {
            Err(ErrorKind::WouldBlock.into())
        } {
            Ok(0) if plan.reconnect => open = false,
            Ok(0) => bail!("the server closed the publisher's connection after {sent} events"),
            Ok(n) => {
                inbuf.extend_from_slice(&scratch[..n]);
                replies += target.take_replies(&mut inbuf)?;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(e.into()),
        }
        let now = Instant::now();
        let all_answered = replies >= requests * replies_per_request;
        let finished = now >= end || sent >= plan.max_events;
        if finished && (all_answered || now >= end + Duration::from_secs(5)) {
            if !all_answered {
                eprintln!(
                    "publisher: {} of {} replies came",
                    replies,
                    requests * replies_per_request
                );
            }
            break;
        }
        let delivered = shared.delivered.load(Relaxed);
        if delivered != last_delivered {
            (last_delivered, progress_at) = (delivered, now);
        }
        let unanswered = replies
            .checked_div(replies_per_request)
            .map_or(0, |answered| requests - answered);
        let mut room = plan.pipeline.saturating_sub(unanswered);
        let mut pause = Duration::from_micros(100);
        if finished {
            room = 0;
            pause = Duration::from_millis(1);
        } else if let Some(due_ns) = due_ns {
            let mut due = 0;
            while due < room && due_ns(sent + due * plan.batch) <= (now - started).as_nanos() as u64 {
                due += 1;
            }
            room = due;
            pause = (started + Duration::from_nanos(due_ns(sent)))
                .saturating_duration_since(now)
                .min(end - now);
        } else {
            let in_flight = (sent * plan.subscribers)
                .saturating_sub(delivered + written_off)
                .div_ceil(plan.subscribers.max(1));
            room = room.min(plan.window.saturating_sub(in_flight) / plan.batch);
            if in_flight >= plan.window && now - progress_at > Duration::from_secs(1) {
                written_off = sent * plan.subscribers - delivered;
                progress_at = now;
            }
        }
        room = room.min((plan.max_events - sent).div_ceil(plan.batch));
        if room == 0 {
            wait(fd, libc::POLLIN, pause.max(Duration::from_micros(1)));
            continue;
        }
        if plan.reconnect && requests > 0 {
            stream = connect(target)?;
            open = true;
            inbuf.clear();
        }
        outbuf.clear();
        for _ in 0..room.min(64) {
            let mut t_ns = now_ns();
            if let Some(due_ns) = due_ns {
                // The schedule's time, so that a publisher held up by the server counts against it.
                let due = wall_start + due_ns(sent);
                lag_ns.saturating_record(t_ns.saturating_sub(due).max(1));
                t_ns = t_ns.min(due);
            }
            target.encode(&mut outbuf, sent, plan.batch, t_ns);
            sent += plan.batch;
            requests += 1;
        }
        let mut written = 0;
        while written < outbuf.len() {
            match stream.write(&outbuf[written..]) {
                Ok(n) => written += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    wait(stream.as_raw_fd(), libc::POLLOUT, Duration::from_millis(10))
                }
                Err(e) => return Err(e.into()),
            }
            if Instant::now() > end + Duration::from_secs(10) {
                bail!("the server stopped reading the publisher's requests");
            }
        }
    }
    Ok(Published {
        events: sent,
        started,
        lag_ns,
        written_off,
    })
}
