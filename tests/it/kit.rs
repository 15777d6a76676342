//! What the tests share: a runtime over scripted providers.

use standin::testing::{Script, Scripted};
use standin::{ChatRequest, Config, ModelConfig, ProviderConfig, RouteConfig, Runtime, Strategy};

/// Scripted providers `a`, `b`, … with one model `m` each, behind the route `smart`, in that order of preference.
pub struct World {
    pub runtime: Runtime,
    pub providers: Vec<Scripted>,
}

/// Returns a configuration over scripted providers, by the strategy `priority`.
pub fn config(scripts: &[Scripted]) -> Config {
    config_with(scripts, &ModelConfig::default())
}

pub fn config_with(scripts: &[Scripted], model: &ModelConfig) -> Config {
    let mut config = Config { seed: Some(7), ..Config::default() };
    let mut route = RouteConfig::default();
    route.options.strategy = Strategy::Priority;
    for (scripted, name) in scripts.iter().zip(["a", "b", "c", "d"]) {
        let mut provider = ProviderConfig::new(format!("http://{name}.test/v1")).model_with("m", model.clone());
        provider.custom = Some(std::sync::Arc::new(scripted.clone()));
        config.providers.insert(name.into(), provider);
        route.targets.push(format!("{name}/m").as_str().into());
    }
    config.routes.insert("smart".into(), route);
    config
}

/// Starts a runtime over so many providers of one script.
pub async fn world(count: usize, script: Script) -> World {
    world_with(count, script, |_| {}).await
}

pub async fn world_with(count: usize, script: Script, edit: impl FnOnce(&mut Config)) -> World {
    let providers: Vec<Scripted> = (0..count).map(|_| Scripted::new(script.clone())).collect();
    let mut config = config(&providers);
    edit(&mut config);
    let runtime = Runtime::builder().config(config).start().await.expect("starts");
    World { runtime, providers }
}

pub fn ask(text: &str) -> ChatRequest {
    ChatRequest::new("smart").user(text)
}
