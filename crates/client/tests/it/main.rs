//! The client against a server that says exactly what a test wrote.

#[cfg(test)]
mod downlink;
#[cfg(test)]
#[cfg(feature = "prometheus")]
mod prometheus;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod sse_cat;
#[cfg(test)]
mod subscribe;
