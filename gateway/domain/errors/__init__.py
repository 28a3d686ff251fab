"""What we refuse, as a tree.

Each leaf has a stable `code`, an HTTP status, and says whether the same request may be sent again.

    GatewayError
    ├── BadRequest 400        Malformed · IdempotencyKeyMissing
    ├── Unauthenticated 401   SignatureInvalid · SignatureExpired · KeyUnknown · KeyRevoked
    ├── NotPermitted 403      Disabled · RefundLimitReached · SupervisorRefused ·
    │                         SupervisorLocked
    ├── SupervisorWaits 429
    ├── NoSuchObject 404      (also for another tenant's ids) · MethodNotAllowed 405
    ├── Conflict 409          OrderTenderTaken · OrderUsed · AlreadyPaid · PaymentNotPaid ·
    │                         RefundExceedsCaptured · RefundNoTaken · PaymentFrozen ·
    │                         OrderInDoubt · OrderOverpaid · OverrideRefused ·
    │                         WebhookEndpointsFull · WebhookEndpointDisabled · CursorAhead ·
    │                         SignatureUsed
    ├── TooLarge 413
    ├── Refused 422           FieldUnknown · FieldMissing · FieldInvalid · AmountInvalid ·
    │                         AuthCodeUnrecognized · IdempotencyKeyReused · MethodUnavailable ·
    │                         LooksLikeACard
    ├── RateLimited 429
    └── Unavailable 503       StoreUnavailable · Overloaded · ChannelsResting ·
                              DirectoryStale · OutcomePending · RestoredUnsure

`sendable_again` is about the very same request with the very same Idempotency-Key: True wherever
nothing was bound to the key. `verdict` is what the cashier may do, in every problem; a refusal that
`tells_of_payment` shows what became of the payment it carries.
"""

from __future__ import annotations

from gateway.domain.errors.conflicts import (
    AlreadyPaid,
    CursorAhead,
    OrderInDoubt,
    OrderOverpaid,
    OrderTenderTaken,
    OrderUsed,
    OverrideRefused,
    PaymentFrozen,
    PaymentNotPaid,
    RefundExceedsCaptured,
    RefundNoTaken,
    SignatureUsed,
    WebhookEndpointDisabled,
    WebhookEndpointsFull,
)
from gateway.domain.errors.families import (
    BadRequest,
    Conflict,
    GatewayError,
    Refused,
    Unauthenticated,
    Unavailable,
    leaves,
)
from gateway.domain.errors.requests import (
    AmountInvalid,
    AuthCodeUnrecognized,
    Disabled,
    FieldInvalid,
    FieldMissing,
    FieldUnknown,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    KeyRevoked,
    KeyUnknown,
    LooksLikeACard,
    Malformed,
    MethodNotAllowed,
    MethodUnavailable,
    NoSuchObject,
    NotPermitted,
    RateLimited,
    RefundLimitReached,
    SignatureExpired,
    SignatureInvalid,
    SupervisorLocked,
    SupervisorRefused,
    SupervisorWaits,
    TooLarge,
)
from gateway.domain.errors.unavailable import (
    ChannelsResting,
    DirectoryStale,
    OutcomePending,
    Overloaded,
    RestoredUnsure,
    StoreUnavailable,
)

__all__ = [
    "AlreadyPaid",
    "AmountInvalid",
    "AuthCodeUnrecognized",
    "BadRequest",
    "ChannelsResting",
    "Conflict",
    "CursorAhead",
    "DirectoryStale",
    "Disabled",
    "FieldInvalid",
    "FieldMissing",
    "FieldUnknown",
    "GatewayError",
    "IdempotencyKeyMissing",
    "IdempotencyKeyReused",
    "KeyRevoked",
    "KeyUnknown",
    "LooksLikeACard",
    "Malformed",
    "MethodNotAllowed",
    "MethodUnavailable",
    "NoSuchObject",
    "NotPermitted",
    "OrderInDoubt",
    "OrderOverpaid",
    "OrderTenderTaken",
    "OrderUsed",
    "OutcomePending",
    "Overloaded",
    "OverrideRefused",
    "PaymentFrozen",
    "PaymentNotPaid",
    "RateLimited",
    "RefundExceedsCaptured",
    "RefundLimitReached",
    "RefundNoTaken",
    "Refused",
    "RestoredUnsure",
    "SignatureExpired",
    "SignatureInvalid",
    "SignatureUsed",
    "StoreUnavailable",
    "SupervisorLocked",
    "SupervisorRefused",
    "SupervisorWaits",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "WebhookEndpointDisabled",
    "WebhookEndpointsFull",
    "leaves",
]
