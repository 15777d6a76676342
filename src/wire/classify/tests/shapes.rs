//! What is said of a key, an account or its quota, in words that no table has.

use super::*;

/// Texts: of a key or an account.
const BARRED: &[&str] = &[
    "This API key has been disabled",
    "The API key you provided has been revoked",
    "Your API key has been suspended",
    "This token has been disabled",
    "API key is inactive",
    "Account suspended",
    "API key not found",
    "The API key's project is archived",
    "The project you requested has been deleted",
    "Invalid API key",
    "Invalid credentials",
    "Unknown API key",
    "Your account is locked. Contact support.",
    "Your account has been banned for abuse.",
    "This account was terminated",
    "Account inactive",
    "This account isn't active",
    "The organization associated with this API key has been deactivated.",
    "Organization is frozen",
    "Workspace not found",
    "The workspace of this key is paused",
    "We have blocked your account.",
    "Virtual key is blocked",
    "Your key expired on 2026-01-01",
    "The access token is no longer valid.",
    "The API key in the request has been deleted",
    "Revoked API key",
    "Disabled token",
    "Invalid token",
    "User not found.",
    "Tenant blocked",
    "The user has been banned",
    "API token unrecognized",
    "Service account key is disabled",
    "Error: the supplied API key does not exist",
    "Authentication credentials were not provided.",
    "Could not validate credentials",
    "Your access has been revoked",
    "Invalid authentication token",
    "Access denied due to invalid subscription key",
    "Your API key was found leaked and is blocked",
    "Account on hold",
    "Your account is not verified",
    "The key was rotated",
    "The API key is not authorized",
    "该令牌状态不可用",
    "该令牌已被禁用",
    "API Key 已失效，请重新创建",
    "您的账户已被冻结",
    "账号不存在",
    "用户已被封禁",
    "密钥已吊销",
    "該帳號已被停用",
    "APIキーが無効です",
    "アカウントは停止されています",
    "API 키가 만료되었습니다",
    "계정이 정지되었습니다",
    "Ihr API-Schlüssel wurde gesperrt",
    "Votre compte a été suspendu",
    "La clé API est invalide",
    "La clave de API ha sido revocada",
    "A chave de API foi desativada",
    "Ваш аккаунт заблокирован",
];

/// Texts: of money.
const SPENT: &[&str] = &[
    "Payment required",
    "Free quota exhausted",
    "Quota exhausted for this token",
    "insufficient balance",
    "Your balance is insufficient",
    "Your wallet is empty",
    "Account balance too low",
    "No credits",
    "You have exhausted your credits",
    "You have used all of your credits",
    "Credits depleted",
    "Your subscription is past due",
    "Subscription cancelled",
    "Your free trial has ended",
    "Billing is disabled for project p",
    "The billing account is inactive",
    "Your monthly budget is used up",
    "Payment failed",
    "You have unpaid invoices",
    "Not enough funds",
    "Budget has been exceeded! Current cost: 10.0, Max budget: 5.0",
    "Your card was declined",
    "user quota is not enough",
    "该令牌额度已用尽",
    "账户欠费",
    "点数不足",
    "余额不足，请充值",
    "残高が不足しています",
    "잔액이 부족합니다",
    "Ihr Guthaben ist aufgebraucht",
    "Solde insuffisant",
    "Saldo insuficiente",
    "Недостаточно средств",
];

/// Texts: of a quota that may come back.
const USED_UP: &[&str] = &[
    "quota exhausted",
    "The daily quota is used up",
    "You have exhausted your quota",
    "Quota depleted",
    "Daily limit reached",
    "You have hit your monthly limit",
    "额度已用尽",
    "配额耗尽",
];

#[test]
fn a_key_that_is_refused_in_any_words_rests_alone_whatever_the_status() {
    for (texts, class) in [(BARRED, C::Unauthorised), (SPENT, C::OutOfMoney), (USED_UP, C::RateLimited)] {
        for text in texts {
            for status in [200, 400, 404, 407, 422, 500, 503] {
                // A short sentence is short without another's head.
                let longer = if text.split(' ').count() > 3 {
                    format!("Error code: {status} - {text}.")
                } else {
                    text.to_string()
                };
                for body in [
                    serde_json::json!({"error": {"message": text, "type": "invalid_request_error", "code": null}}),
                    serde_json::json!({"detail": text}),
                    serde_json::json!({"error": {"message": longer, "type": "error"}}),
                ] {
                    let found = failure(status, &body.to_string());
                    assert_eq!((found.class, found.scope), (class, Scope::Key), "{status} {body}: {found}");
                }
            }
        }
    }
    for (code, class) in [
        ("project_archived", C::Unauthorised),
        ("ApiKeyDisabled", C::Unauthorised),
        ("token_revoked", C::Unauthorised),
        ("credits_exhausted", C::OutOfMoney),
        ("insufficient_user_quota", C::OutOfMoney),
        ("quota_exhausted", C::RateLimited),
        ("monthly_limit_reached", C::RateLimited),
        ("InvalidSubscriptionKey", C::Unauthorised),
    ] {
        let body = serde_json::json!({"error": {"message": "no", "code": code}}).to_string();
        for status in [400, 404, 500] {
            assert_eq!(failure(status, &body).class, class, "{status} {code}");
        }
    }
}

/// Status, text: of a request, a model, a limit or another's key.
const OTHERS: &[(u16, &str)] = &[
    (400, "This model's maximum context length is 8192 tokens."),
    (400, "token limit exceeded"),
    (400, "Your organization is not authorized to use this model"),
    (400, "The API key is not authorized for this model"),
    (400, "The thinking budget has been exceeded"),
    (400, "Token limit exceeded for this project"),
    (400, "Too many tokens: the max tokens value is invalid"),
    (400, "Unexpected token in JSON at position 5"),
    (400, "JSON parse error: invalid token at line 1"),
    (400, "Invalid token id in logit_bias"),
    (400, "The thinking budget is insufficient"),
    (400, "max_tokens must be greater than thinking.budget_tokens"),
    (400, "KV cache budget exhausted"),
    (400, "Missing key 'type' in object"),
    (400, "Key not found: 'content'"),
    (400, "Cache key expired"),
    (400, "Tool account suspended is named twice"),
    (400, "Unknown function: account_suspended"),
    (400, "The MCP server says that your account is disabled"),
    (400, "User message is missing"),
    (400, "Invalid user message"),
    (400, "Your account has exceeded the request limit"),
    (404, "The model `x` does not exist. Check the model and your API key."),
    (404, "The model was not found or your account is disabled"),
    (404, "Model x is not found in your project"),
    (400, "Thinking is disabled for your organization"),
    (400, "Your organization has disabled this model"),
    (400, "Your organization is not enabled for this model"),
    (400, "If your API key was revoked, create another"),
    (400, "Check whether your account is disabled"),
    (500, "Load balance failed"),
    (500, "Upstream error: your account is suspended"),
    (503, "上游账户余额不足"),
    (400, "请检查模型是否存在"),
    (400, "模型不存在或账户无权限"),
    (500, "The connection was closed"),
    (400, "The file was not found"),
    (400, "Previous response not found"),
    (429, "Rate limit reached for your organization"),
    (429, "Too many requests for this account"),
];

#[test]
fn what_is_said_of_a_request_a_model_or_a_limit_bars_no_key() {
    for (status, text) in OTHERS {
        for body in [
            serde_json::json!({"error": {"message": text, "type": "invalid_request_error"}}),
            serde_json::json!({"detail": text}),
        ] {
            let found = failure(*status, &body.to_string());
            let barred = matches!(found.class, C::Unauthorised | C::OutOfMoney | C::Forbidden);
            assert!(!barred, "{status} {body}: {found}");
        }
    }
}

proptest! {
    #[test]
    fn words_of_a_caller_bar_no_key(at in 0..BARRED.len() + SPENT.len(), is_422 in any::<bool>()) {
        let status = if is_422 { 422 } else { 400 };
        let text = BARRED.iter().chain(SPENT).nth(at).expect("there is one");
        for body in [
            serde_json::json!({"error": {
                "message": format!("Invalid value: '{text}'."),
                "param": "messages[0].content",
            }}),
            serde_json::json!({"error": {"message": format!("messages.0.content: unexpected “{text}”")}}),
            serde_json::json!({"error": {"message": format!("No such tool: {text}"), "param": "tool_choice"}}),
            serde_json::json!({"error": {"message": format!("No such turn. got: {text}")}}),
        ] {
            let found = failure(status, &body.to_string());
            prop_assert_ne!(found.scope, Scope::Key, "{} {}", body, found);
        }
    }

    #[test]
    fn any_words_of_keys_are_read(
        text in r"(api|key|token|account|has|been|disabled|not|found|[ .,!']|额度|令牌|禁用|\PC){0,40}",
    ) {
        failure(400, &serde_json::json!({"error": {"message": text, "code": text}}).to_string());
    }
}

#[test]
fn a_validators_path_names_the_field() {
    for (path, param) in [
        (r#"["body","messages",0,"content"]"#, Some("messages[0].content")),
        (r#"["body","top_k"]"#, Some("top_k")),
        (r#"["header","x"]"#, None),
        (r#"["body"]"#, None),
    ] {
        let body = format!(r#"{{"detail":[{{"loc":{path},"msg":"field required","type":"missing"}}]}}"#);
        let failure = classify(422, &HeaderMap::new(), body.as_bytes(), Sent::default());
        assert_eq!(failure.param.as_deref(), param, "{path}");
    }
}
