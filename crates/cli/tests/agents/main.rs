//! Agents' own programs under `turnwire run` and `turnwire agent`, with a model server on this machine in place of their vendor's.
//!
//! `cargo xtask test` installs the programs and names their directory in `TURNWIRE_AGENTS`.

#[cfg(test)]
mod anthropic_server;
#[cfg(test)]
#[path = "../it/api.rs"]
mod api;
#[cfg(test)]
mod claude;
#[cfg(test)]
mod claude_agent;
#[cfg(test)]
mod claude_chat;
#[cfg(test)]
mod claude_hooks;
#[cfg(test)]
mod claude_joined;
#[cfg(test)]
mod claude_scenarios;
#[cfg(test)]
mod codex_agent;
#[cfg(test)]
mod codex_joined;
#[cfg(test)]
mod cutting;
#[cfg(test)]
mod driving;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod gateway_agent;
#[cfg(test)]
mod gemini_agent;
#[cfg(test)]
mod gemini_joined;
#[cfg(test)]
mod gemini_server;
#[cfg(test)]
mod joined;
#[cfg(test)]
mod model_server;
#[cfg(test)]
mod openai_server;
#[cfg(test)]
mod opencode_agent;
#[cfg(test)]
mod opencode_joined;
#[cfg(test)]
mod other_hooks;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod reporting;
#[cfg(test)]
mod scripted;
#[cfg(test)]
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "what the other tests need of it")]
mod world;
