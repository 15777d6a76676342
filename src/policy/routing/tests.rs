mod invariance;
mod kit;
mod properties;
mod rules;
mod strategies;
