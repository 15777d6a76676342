//! The words of which refusals of keys and accounts are made.

use crate::words::FailureClass;

/// Words for a key. Their verdicts may be any.
pub(super) const KEYS: &[&str] = &[
    "authentication token",
    "authorization token",
    "auth key",
    "service key",
    "subscription key",
    "api key",
    "api keys",
    "api_key",
    "apikey",
    "api token",
    "access key",
    "access token",
    "bearer token",
    "auth token",
    "secret key",
];
/// Words for who it belongs to.
pub(super) const OWNERS: &[&str] = &[
    "your access",
    "account",
    "credential",
    "credentials",
    "organization",
    "organisation",
    "project",
    "team",
    "tenant",
    "workspace",
];
/// Words that have other meanings, too: only what can be said of nothing else is a verdict on them.
pub(super) const WEAK: &[&str] = &["client", "customer", "key", "license", "membership", "token", "user"];

/// What only becomes of a key or an account. The words of one verdict follow each other.
pub(super) const BARRED: &[&str] = &[
    "compromised",
    "invalidated",
    "leaked",
    "not verified",
    "on hold",
    "rotated",
    "under review",
    "unverified",
    "archived",
    "banned",
    "blacklisted",
    "blocked",
    "cancelled",
    "canceled",
    "deactivated",
    "deleted",
    "disabled",
    "expired",
    "frozen",
    "inactive",
    "locked",
    "not active",
    "not activated",
    "not enabled",
    "paused",
    "revoked",
    "suspended",
    "terminated",
    "no longer active",
    "no longer valid",
];
/// What may be said of other things, too.
pub(super) const DOUBTED: &[&str] = &[
    "not authorised",
    "not authorized",
    "not available",
    "not provided",
    "not specified",
    "not validate",
    "unavailable",
    "closed",
    "denied",
    "does not exist",
    "incorrect",
    "invalid",
    "malformed",
    "missing",
    "no longer exists",
    "not be found",
    "not exist",
    "not found",
    "not recognised",
    "not recognized",
    "not valid",
    "rejected",
    "restricted",
    "unauthorised",
    "unauthorized",
    "unknown",
    "unrecognised",
    "unrecognized",
    "wrong",
];

/// Words for money, and for what is paid for.
pub(super) const MONEY: &[&str] = &[
    "allowance",
    "balance",
    "billing",
    "billing account",
    "budget",
    "credit",
    "credits",
    "free tier",
    "free trial",
    "funds",
    "invoice",
    "invoices",
    "plan",
    "subscription",
    "trial",
    "wallet",
];
/// What becomes of money, said behind it.
pub(super) const SPENT: &[&str] = &[
    "exceeded",
    "all used",
    "cancelled",
    "canceled",
    "consumed",
    "depleted",
    "disabled",
    "empty",
    "ended",
    "exhausted",
    "expired",
    "inactive",
    "insufficient",
    "lapsed",
    "negative",
    "not active",
    "not enabled",
    "not enough",
    "overdue",
    "past due",
    "ran out",
    "run out",
    "suspended",
    "too low",
    "unpaid",
    "used up",
];
/// The same, said before what is counted.
pub(super) const LACKING: &[&str] = &[
    "consumed",
    "depleted",
    "exhausted",
    "insufficient",
    "negative",
    "no",
    "no more",
    "not enough",
    "out of",
    "overdue",
    "unpaid",
    "used",
    "used up",
];
pub(super) const COUNTED: &[&str] = &["balance", "credit", "credits", "funds", "invoice", "invoices"];
/// What becomes of a payment.
pub(super) const PAYMENTS: &[&str] = &["card", "payment", "payment method", "payments"];
pub(super) const DUE: &[&str] = &["declined", "failed", "overdue", "past due", "required"];

/// Words for a quota, and what becomes of one. What is exceeded is a matter of the status.
pub(super) const QUOTAS: &[&str] = &["quota", "quotas"];
pub(super) const USED_UP: &[&str] = &[
    "not enough",
    "not sufficient",
    "all used",
    "consumed",
    "depleted",
    "exhausted",
    "insufficient",
    "ran out",
    "run out",
    "used up",
];
/// Limits that a time brings back, and what becomes of them.
pub(super) const LIMITS: &[&str] =
    &["daily limit", "hourly limit", "monthly limit", "weekly limit", "usage limit", "usage cap"];
pub(super) const MET: &[&str] = &["exceeded", "exhausted", "hit", "reached", "used up"];
/// Words by which a quota is one that no time brings back.
pub(super) const ONCE: &[&str] =
    &["api key", "free", "prepaid", "the token", "this key", "this token", "trial", "user", "your token"];

/// Parts of a request and of a server: one between a subject and its verdict is what the verdict is of.
pub(super) const THINGS: &[&str] = &[
    "access",
    "argument",
    "cache",
    "connection",
    "container",
    "content",
    "country",
    "deployment",
    "endpoint",
    "feature",
    "file",
    "function",
    "image",
    "input",
    "limit",
    "location",
    "message",
    "messages",
    "model",
    "models",
    "output",
    "parameter",
    "permission",
    "prompt",
    "region",
    "request",
    "resource",
    "response",
    "role",
    "schema",
    "tokens",
    "tool",
    "tools",
    "url",
    "value",
];
/// Whose accounts are no key's of ours: a sentence that began with one of them speaks of another key, or of a name.
pub(super) const OTHERS: &[&str] = &[
    "argument",
    "channel",
    "connector",
    "container",
    "download",
    "field",
    "file",
    "function",
    "image",
    "mcp",
    "messages",
    "parameter",
    "property",
    "schema",
    "tool",
    "tools",
    "upstream",
    "url",
    "value",
    "vector",
];
/// Words before what else is called a budget, a balance or a key.
pub(super) const KINDS: &[&str] = &[
    "billing",
    "cache",
    "context",
    "foreign",
    "input",
    "kv",
    "load",
    "memory",
    "output",
    "primary",
    "reasoning",
    "retry",
    "session",
    "thinking",
    "time",
    "token",
    "tokens",
];
/// Words before a weak subject that make it one; so does the beginning.
pub(super) const MARKED: &[&str] = &[
    ":", "a", "and", "auth", "gateway", "master", "or", "personal", "provided", "proxy", "s", "secret", "service",
    "that", "the", "their", "this", "virtual", "your",
];
/// Words of what is only supposed, or advised.
pub(super) const SUPPOSED: &[&str] = &["check", "ensure", "if", "sure", "unless", "verify", "whether"];
/// Words between a verdict and its subject behind it: "a revoked API key".
pub(super) const BETWEEN: &[&str] = &[
    "a",
    "account",
    "all",
    "an",
    "available",
    "current",
    "daily",
    "its",
    "monthly",
    "of",
    "our",
    "prepaid",
    "provided",
    "remaining",
    "specified",
    "supplied",
    "the",
    "their",
    "this",
    "user",
    "your",
];
/// Subjects and verdicts in other languages, and what they mean. Both stand in one sentence, in any order; their
/// languages build words of several, so they are looked for within words.
pub(super) const FOREIGN: &[(FailureClass, &[&str], &[&str])] = &[
    // Chinese, of money.
    (
        FailureClass::OutOfMoney,
        &[
            "余额",
            "余額",
            "点数",
            "點數",
            "积分",
            "積分",
            "令牌额度",
            "用户额度",
            "账户额度",
            "账号额度",
            "免费额度",
            "资源包",
        ],
        &["不足", "用尽", "用盡", "耗尽", "耗盡", "用完", "用光", "为零", "为0", "为 0", "过期"],
    ),
    (FailureClass::OutOfMoney, &["账户", "账号", "帐户", "帐号", "帳戶"], &["欠费", "欠費", "欠款"]),
    (FailureClass::OutOfMoney, &["令牌", "密钥", "免费"], &["额度已用", "额度不足", "额度用", "额度已耗"]),
    (FailureClass::RateLimited, &["额度", "額度", "配额", "限额"], &["用尽", "用盡", "耗尽", "用完", "用光", "不足"]),
    // Of keys and accounts.
    (
        FailureClass::Unauthorised,
        &[
            "令牌", "密钥", "密鑰", "密匙", "秘钥", "api key", "apikey", "api-key", "api_key", "账户", "账号", "帐户",
            "帐号", "帳號", "帳戶", "组织", "項目", "项目", "订阅", "凭证", "凭据",
        ],
        &[
            "禁用",
            "停用",
            "封禁",
            "被封",
            "冻结",
            "凍結",
            "注销",
            "失效",
            "过期",
            "過期",
            "到期",
            "无效",
            "無效",
            "不存在",
            "吊销",
            "撤销",
            "撤銷",
            "暂停",
            "锁定",
            "鎖定",
            "未激活",
            "未启用",
            "已删除",
            "被删除",
            "已关闭",
            "不正确",
            "错误",
            "錯誤",
            "不合法",
            "不可用",
            "欠费",
        ],
    ),
    (
        FailureClass::Unauthorised,
        &["token", "用户", "用戶"],
        &["禁用", "停用", "封禁", "被封", "冻结", "吊销", "已过期", "已失效"],
    ),
    // Japanese.
    (
        FailureClass::OutOfMoney,
        &["残高", "クレジット", "無料枠"],
        &["不足", "使い切", "なくなり", "足りません", "枯渇"],
    ),
    (
        FailureClass::Unauthorised,
        &["apiキー", "api キー", "アカウント", "組織", "プロジェクト", "アクセストークン"],
        &[
            "無効",
            "停止",
            "期限切れ",
            "失効",
            "凍結",
            "削除され",
            "見つかりません",
            "存在しません",
            "ロックされ",
            "取り消され",
        ],
    ),
    // Korean.
    (FailureClass::OutOfMoney, &["잔액", "크레딧"], &["부족", "소진", "없습니다"]),
    (
        FailureClass::Unauthorised,
        &["api 키", "api키", "계정", "조직", "액세스 토큰"],
        &["비활성", "정지", "만료", "유효하지", "차단", "잘못된", "찾을 수 없", "폐기", "취소", "존재하지"],
    ),
    // German.
    (
        FailureClass::OutOfMoney,
        &["guthaben", "kontostand"],
        &["aufgebraucht", "erschöpft", "nicht ausreichend", "zu niedrig"],
    ),
    (
        FailureClass::Unauthorised,
        &["api-schlüssel", "api schlüssel", "api-key", "konto", "zugangstoken"],
        &["gesperrt", "deaktiviert", "ungültig", "abgelaufen", "widerrufen", "nicht gefunden", "gelöscht"],
    ),
    // French.
    (FailureClass::OutOfMoney, &["solde", "crédit"], &["insuffisant", "épuisé"]),
    (
        FailureClass::Unauthorised,
        &["clé api", "clé d'api", "clé d’api", "votre compte", "ce compte", "jeton d'accès"],
        &["désactivé", "suspendu", "invalide", "expiré", "révoqué", "introuvable", "bloqué"],
    ),
    // Spanish and Portuguese.
    (FailureClass::OutOfMoney, &["saldo", "crédito", "creditos"], &["insuficiente", "agotado", "esgotado", "esgotou"]),
    (
        FailureClass::Unauthorised,
        &[
            "clave de api",
            "clave api",
            "clave de la api",
            "chave de api",
            "chave api",
            "chave da api",
            "su cuenta",
            "tu cuenta",
            "sua conta",
        ],
        &[
            "desactivad",
            "desativad",
            "suspendid",
            "suspens",
            "inválid",
            "no es válid",
            "caducad",
            "expirad",
            "expirou",
            "revocad",
            "revogad",
            "bloquead",
            "no encontrad",
            "não encontrad",
        ],
    ),
    // Russian.
    (FailureClass::OutOfMoney, &["средств", "баланс"], &["недостаточно", "исчерпан", "закончил"]),
    (
        FailureClass::Unauthorised,
        &["ключ api", "api-ключ", "api ключ", "аккаунт", "учетная запись", "учётная запись"],
        &[
            "заблокирован",
            "отключ",
            "недействител",
            "неверн",
            "истек",
            "истёк",
            "отозван",
            "не найден",
            "деактивирован",
            "приостановлен",
        ],
    ),
];

/// Words before a verdict in other languages by which it is supposed, or another's.
pub(super) const FOREIGN_OTHERS: &[&str] =
    &["如果", "是否", "もし", "上游", "渠道", "模型", "工具", "モデル", "모델", "modell", "modèle", "modelo", "модель"];
