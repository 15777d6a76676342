//! What is said of an account or a key in a refusal that looks like one of the request.

use super::*;

/// Who says so, body, class: in a 400, by its code or by its words.
const ACCOUNTS: &[(&str, &str, FailureClass)] = &[
    (
        "Google",
        r#"{"error":{"code":400,"message":"Your prepayment credits are depleted.","status":"FAILED_PRECONDITION"}}"#,
        C::OutOfMoney,
    ),
    (
        "Groq",
        r#"{"error":{"message":"Organization has reached its configured spend limit.","type":"invalid_request_error","code":"blocked_api_access"}}"#,
        C::OutOfMoney,
    ),
    (
        "xAI",
        r#"{"code":"invalid-argument","error":"Your team has reached its monthly spending limit."}"#,
        C::OutOfMoney,
    ),
    ("Voyage", r#"{"detail":"You have not yet added your payment method in the billing page"}"#, C::OutOfMoney),
    ("Novita", r#"{"code":400,"reason":"NOT_ENOUGH_BALANCE","message":"no"}"#, C::OutOfMoney),
    ("Vercel", r#"{"error":{"message":"no","type":"insufficient_funds"}}"#, C::OutOfMoney),
    ("LiteLLM", r#"{"error":{"message":"User x has exceeded their budget.","code":"400"}}"#, C::OutOfMoney),
    ("new-api", r#"{"error":{"message":"该令牌额度已用尽","type":"new_api_error"}}"#, C::OutOfMoney),
    (
        "LiteLLM",
        r#"{"error":{"message":"Authentication Error, Expired Key","type":"expired_key","code":"400"}}"#,
        C::Unauthorised,
    ),
    (
        "LiteLLM",
        r#"{"error":{"message":"Authentication Error, Invalid proxy server token passed.","param":"key","code":"400"}}"#,
        C::Unauthorised,
    ),
    ("Cloudflare", r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}"#, C::Unauthorised),
    ("DeepSeek", r#"{"error":{"message":"Authentication Fails (governor)"}}"#, C::Unauthorised),
    ("new-api", r#"{"error":{"message":"无效的令牌","type":"new_api_error"}}"#, C::Unauthorised),
    ("Google", r#"{"error":{"code":400,"message":"API key has expired. Please renew it."}}"#, C::Unauthorised),
    (
        "OpenAI",
        r#"{"error":{"message":"Your organization must be verified to stream this model.","type":"invalid_request_error","param":"stream","code":"unsupported_value"}}"#,
        C::Forbidden,
    ),
    (
        "LiteLLM, of OpenAI",
        r#"{"error":{"message":"litellm.BadRequestError: OpenAIException - Your organization must be verified to use the model.","code":"400"}}"#,
        C::Forbidden,
    ),
];

#[test]
fn trouble_of_an_account_moves_to_the_next_key_though_it_looks_like_one_of_the_request() {
    for (who, body, class) in ACCOUNTS {
        let found = failure(400, body);
        assert_eq!((found.class, found.scope), (*class, Scope::Key), "{who}: {body}: {found}");
    }
}

#[test]
fn words_about_money_beside_a_limit_are_no_lack_of_it() {
    for (status, message, class) in [
        (
            429,
            "Rate limit reached for x: Limit: 3 / min. Please try again in 20s. You can increase your rate limit by \
             adding a payment method to your account.",
            C::RateLimited,
        ),
        (429, "额度已用尽，将在 30 秒后重置", C::RateLimited),
        (404, "The model `x` does not exist. Check the model and your API key.", C::ModelGone),
    ] {
        let body = serde_json::json!({"error": {"message": message, "type": "x"}}).to_string();
        assert_eq!(failure(status, &body).class, class, "{message}");
    }
}

#[test]
fn what_a_request_says_of_accounts_takes_no_key_away() {
    for body in [
        // Of a server that the request names.
        r#"{"error":{"message":"Authentication failed at the MCP server `x`: 401","type":"invalid_request_error"}}"#,
        // In quotes, behind the provider's first words, or where a field is blamed.
        r#"{"error":{"message":"Invalid value: 'your spending limit is reached'.","param":"tools[0].name"}}"#,
        r#"{"error":{"message":"No function authentication error","param":"tool_choice"}}"#,
        r#"{"error":{"message":"No function: exception - authentication failed","param":"tool_choice"}}"#,
        r#"{"error":{"message":"Invalid value: 'exception - authentication failed'."}}"#,
        r#"{"error":{"message":"Unknown tool: your organization must be verified to go on","param":"tool_choice"}}"#,
        r#"{"error":{"message":"Unexpected text 'add a payment method, your api key is invalid'"}}"#,
    ] {
        let found = failure(400, body);
        assert_eq!(found.class.consequences().hold, None, "{body}: {found}");
        assert_ne!(found.scope, Scope::Key, "{body}: {found}");
    }
}
