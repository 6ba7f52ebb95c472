//! What looking for secrets costs: `cargo run --release -p turnwire-redact --example cost [FILE…]`.
//!
//! Each line of the files is taken as an event's body, and what is replaced in it is printed. Without files, the small event of
//! `bench/fanbench` is taken.
#![expect(clippy::print_stdout, reason = "a tool for people")]

use std::hint::black_box;

use turnwire_proto::{Json, Kind, Name, NewEvent, Object, Timestamp};
use turnwire_redact::{Redactor, boundary, may_end};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let redactor = Redactor::new([7; 32], &[])?;
    let mut lines: Vec<Json> = Vec::new();
    for file in std::env::args().skip(1) {
        let text = std::fs::read(&file)?;
        for (number, line) in text.split(|b| *b == b'\n').enumerate() {
            let json = Json::from_line(line);
            if let Some((clean, kinds)) = redactor.json(json.get()) {
                println!("{file}:{}: {kinds:?}", number + 1);
                for place in clean.get().match_indices("[redacted:").map(|(at, _)| at).take(3) {
                    let start = clean.get().floor_char_boundary(place.saturating_sub(60));
                    let end = clean.get().ceil_char_boundary((place + 60).min(clean.get().len()));
                    println!("    …{}…", &clean.get()[start..end]);
                }
            }
            lines.push(json);
        }
    }
    if lines.is_empty() {
        let text = "x".repeat(120);
        lines.push(Json::parse(&format!(
            r#"{{"text":"{text}","n":12345,"input_tokens":7}}"#
        ))?);
    }
    let bytes: usize = lines.iter().map(|line| line.get().len()).sum();
    let rounds = (200_000_000 / bytes.max(1)).clamp(1, 2_000_000);
    let began = cpu();
    for _ in 0..rounds {
        for line in &lines {
            black_box(redactor.json(black_box(line.get())));
        }
    }
    let each = (cpu() - began) / (rounds * lines.len()) as f64;
    let size = bytes as f64 / lines.len() as f64;
    let event = NewEvent {
        agent: Name::new("builder").ok(),
        turn_id: Name::new("t-7").ok(),
        ..NewEvent::new(
            Kind::NOTE,
            Name::new("claude-code")?,
            Timestamp::UNIX_EPOCH,
            Object::new(lines[0].clone()).unwrap_or_else(Object::empty),
        )
    }
    .in_session(Name::new("8c3c2f6f-3c1d-4a10-9d0f-0199e0a27c1e")?);
    let began = cpu();
    for _ in 0..1_000_000 {
        black_box(redactor.event(black_box(&event)));
    }
    println!(
        "the first as an event with its names: {:.0} ns of CPU",
        (cpu() - began) / 1e6
    );
    println!(
        "{} texts of {size:.0} bytes: {each:.0} ns of CPU each, {:.2} GB/s",
        lines.len(),
        size / each
    );
    let (each, held) = streamed();
    println!(
        "a boundary in a text that is streamed: {each:.0} ns of CPU a piece of 4 bytes, {held:.0} bytes held back"
    );
    Ok(())
}

/// What a publisher pays to find where a text of words may be cut, that comes in pieces of four letters.
fn streamed() -> (f64, f64) {
    let text = "Let me look at the file, then change the password check in src/login.rs. ".repeat(20);
    let (mut pieces, mut bytes) = (0_u32, 0_usize);
    let began = cpu();
    for _ in 0..2000 {
        let mut held = String::new();
        for piece in text
            .as_bytes()
            .chunks(4)
            .map(|piece| std::str::from_utf8(piece).unwrap_or_default())
        {
            held.push_str(piece);
            if may_end(piece) {
                held.drain(..black_box(boundary(&held)));
            }
            pieces += 1;
            bytes += held.len();
        }
    }
    let pieces = f64::from(pieces);
    ((cpu() - began) / pieces, bytes as f64 / pieces)
}

/// Nanoseconds that this process has computed, on Linux: what others do on the machine does not matter.
fn cpu() -> f64 {
    let told = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    told.split_whitespace()
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap_or(f64::NAN)
}
