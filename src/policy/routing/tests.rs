mod kit;
mod properties;
mod regret;
mod rules;
mod strategies;
