//! The runtime over scripted providers, under paused time.

mod kit;

mod classes;
mod config_errors;
mod dialects;
mod failover;
mod lifetimes;
mod messages;
mod operators;
mod privacy;
mod reconfigure;
mod strategies;
mod streams;
mod supervision;
mod timers;
mod windows;
