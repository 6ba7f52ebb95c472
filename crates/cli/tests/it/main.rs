//! The real binary, with real files, processes and sockets.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod api;
#[cfg(test)]
mod approvals;
#[cfg(test)]
mod connect;
#[cfg(test)]
mod door;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod large;
#[cfg(test)]
#[path = "../../../watch/tests/it/opencode_db.rs"]
mod opencode_db;
#[cfg(test)]
mod player;
#[cfg(test)]
mod publish;
#[cfg(test)]
mod raw_api;
#[cfg(test)]
mod run;
#[cfg(test)]
mod send;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod steer;
#[cfg(test)]
mod streamed;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod watch;
#[cfg(test)]
mod watch_opencode;
#[cfg(test)]
mod webhook;
#[cfg(test)]
mod webhook_config;
#[cfg(test)]
mod world;
