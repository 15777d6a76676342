//! The runtime over scripted providers, under paused time.

mod kit;

mod classes;
mod dialects;
mod failover;
mod messages;
mod operators;
mod reconfigure;
mod strategies;
mod streams;
mod supervision;
mod timers;
