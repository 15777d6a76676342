//! Embeddings take the same path as conversations.

use standin::runtime::RouterMessage;
use standin::testing::{Fault, ProviderError, Script, vector};
use standin::{EmbedRequest, Error, FailureClass, ModelConfig, config::KindConfig};

use super::kit::{MS, S, World, ask, failed, path, provider, settle, start, world_with};

/// A world whose models embed.
async fn world(count: usize) -> World {
    world_with(count, Script::default(), |config| {
        for provider in config.providers.values_mut() {
            let model = provider.models.values_mut().next().expect("one");
            model.kind = Some(KindConfig::Embedding);
        }
    })
    .await
}

fn texts() -> EmbedRequest {
    EmbedRequest { dimensions: Some(8), ..EmbedRequest::new("smart", ["one text", "another"]) }
}

fn vectors() -> Vec<Vec<f32>> {
    vec![vector("one text", 8), vector("another", 8)]
}

#[tokio::test(start_paused = true)]
async fn every_text_gets_its_own_vector() {
    let world = world(2).await;
    let answer = world.runtime.embed(texts()).await.expect("vectors");
    assert_eq!(answer.vectors, vectors());
    assert_eq!((answer.target.to_string(), answer.model.as_deref()), ("a/m".into(), Some("m")));
    assert_eq!((answer.usage.input, answer.usage.output), (3, 0));
    assert!(world.runtime.why(answer.call).is_some(), "the recorder has the call");
    settle().await;
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_failing_provider_is_left_for_the_next() {
    for (fault, class) in [
        (Fault::Error(ProviderError::Unavailable), FailureClass::Overloaded),
        (Fault::Error(ProviderError::Server), FailureClass::Server),
        (Fault::Refuse, FailureClass::Connect),
        (Fault::Hang, FailureClass::HedgeLost),
        (Fault::CutAfter(0), FailureClass::Cut),
        (Fault::TruncatedJson, FailureClass::Cut),
        (Fault::ErrorEvent { after: 0 }, FailureClass::Server),
    ] {
        let world = world(2).await;
        let name = fault.name();
        world.providers[0].always(fault);
        let answer = world.runtime.embed(texts()).await.expect("vectors");
        assert_eq!(answer.vectors, vectors(), "{name}");
        assert_eq!(answer.target.to_string(), "b/m", "{name}");
        assert!(failed(&world.runtime, "a/m", class) > 0, "{name}: {}", path(&answer.attempts));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_a_vector_too_few_or_none_is_not_handed_on() {
    let one = r#"{"data":[{"index":0,"embedding":[1,0,0,0,0,0,0,0]}],"model":"m"}"#;
    let reply = Fault::Reply { status: 200, headers: http::HeaderMap::new(), body: one.into() };
    for (fault, class) in [(reply, FailureClass::Unusable), (Fault::Empty, FailureClass::Empty)] {
        let world = world(2).await;
        world.providers[0].always(fault);
        let answer = world.runtime.embed(texts()).await.expect("vectors");
        assert_eq!((answer.vectors, answer.target.to_string()), (vectors(), "b/m".into()));
        assert!(failed(&world.runtime, "a/m", class) > 0, "{}", path(&answer.attempts));
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_target_refuses_is_asked_of_the_next_and_a_blank_of_none() {
    let world = world(2).await;
    world.providers[0].always(Fault::Error(ProviderError::BadRequest));
    assert_eq!(world.runtime.embed(texts()).await.expect("vectors").target.to_string(), "b/m");
    world.providers[1].always(Fault::Error(ProviderError::BadRequest));
    let error = world.runtime.embed(texts()).await.expect_err("a rejection");
    assert!(matches!(&error, Error::Rejected { attempts, .. } if attempts.len() == 2), "{error:?}");
    let asked = world.providers[1].received();
    let error = world.runtime.embed(EmbedRequest::new("smart", [""])).await.expect_err("nothing to embed");
    assert!(matches!(error, Error::Invalid { field, .. } if field == "inputs[0]"));
    assert_eq!(world.providers[1].received(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_route_serves_each_kind_of_work_by_the_models_that_are_for_it() {
    let world = world_with(2, Script::default(), |config| {
        let scripted = config.providers["b"].clone();
        config.providers.insert("b".into(), scripted.model("text-embedding-3-small"));
        let route = config.routes.get_mut("smart").expect("it is there");
        route.targets = ["b/text-embedding-3-small", "a/m"].map(Into::into).into();
    })
    .await;
    let answer = world.runtime.embed(texts()).await.expect("vectors");
    assert_eq!(answer.target.to_string(), "b/text-embedding-3-small");
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(reply.finished.target.to_string(), "a/m");
    assert_eq!((answer.attempts.len(), reply.finished.attempts.len()), (1, 1));
    let elsewhere = EmbedRequest { route: "a/m".into(), ..texts() };
    let error = world.runtime.embed(elsewhere).await.expect_err("it does not embed");
    assert!(matches!(&error, Error::NoTarget { why, .. } if why.contains("its model chats")), "{error}");
    let error = world.runtime.chat(standin::ChatRequest::new("b/text-embedding-3-small").user("hello")).await;
    assert!(matches!(error, Err(Error::NoTarget { .. })), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_route_does_not_mix_the_vectors_of_two_models() {
    let scripted = standin::testing::Scripted::new(Script::default());
    let mut config = standin::Config::default();
    config.providers.insert("a".into(), provider("a", &scripted).model("text-embedding-3-small"));
    let same_as = Some("text-embedding-3-small".to_owned());
    let deployment = ModelConfig { same_as, ..ModelConfig::default() };
    config.providers.insert("b".into(), provider("b", &scripted).model_with("fast", deployment));
    config.providers.insert("c".into(), provider("c", &scripted).model("embed-v4").model("gpt-5-mini"));
    let route = |targets: [&'static str; 3]| standin::RouteConfig::new(targets);
    config.routes.insert("embed".into(), route(["a/text-embedding-3-small", "c/gpt-5-mini", "b/fast"]));
    assert_eq!(config.targets().map(|targets| targets.len()), Ok(4));
    config.routes.insert("embed".into(), route(["a/text-embedding-3-small", "c/gpt-5-mini", "c/embed-v4"]));
    let error = config.targets().expect_err("two models").to_string();
    assert!(error.starts_with("routes.embed.targets[2]: `a/text-embedding-3-small` and `c/embed-v4` embed"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn geminis_batch_gives_the_same_vectors() {
    let scripted = standin::testing::Scripted::new(Script::default());
    let mut google = provider("google", &scripted);
    google.base_url = Some("http://google.test/v1beta".into());
    google.dialect = Some(standin::config::DialectConfig::Gemini);
    let mut config = standin::Config { seed: Some(7), ..standin::Config::default() };
    config.providers.insert("google".into(), google.model_with("gemini-embedding-001", ModelConfig::default()));
    let runtime = start(config).await;
    let answer = runtime.embed(EmbedRequest { route: "google/gemini-embedding-001".into(), ..texts() }).await;
    assert_eq!(answer.expect("vectors").vectors, vectors());
    assert_eq!(scripted.log()[0].path, "/v1beta/models/gemini-embedding-001:batchEmbedContents");
}

#[tokio::test(start_paused = true)]
async fn any_actor_may_ask_for_vectors() {
    let world = world(1).await;
    let router = world.runtime.router().expect("it runs");
    let answer = standin::ractor::call!(router, |port| RouterMessage::Embed(Box::new(texts()), port));
    assert_eq!(answer.expect("a reply").expect("vectors").vectors, vectors());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_or_whose_time_is_up_leaves_nothing_behind() {
    let world = world(1).await;
    world.providers[0].always(Fault::Hang);
    assert!(tokio::time::timeout(50 * MS, world.runtime.embed(texts())).await.is_err());
    settle().await;
    world.assert_idle();
    let hurried = EmbedRequest { deadline: Some(S), ..texts() };
    let error = world.runtime.embed(hurried).await.expect_err("no time");
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
    settle().await;
    world.assert_idle();
}
