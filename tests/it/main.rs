//! The runtime over scripted providers, under paused time.

mod kit;
mod failover;
mod dialects;
