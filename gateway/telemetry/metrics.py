"""Every metric of the gateway.

Label sets are bounded: channel, operation, outcome, reason; never a merchant or an order.
"""

from prometheus_client import Counter, Gauge, Histogram

LATENCY_BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Counter(
    "tillgate_http_requests_total", "HTTP answers by route and status.", ["route", "status"]
)
REQUEST_SECONDS = Histogram(
    "tillgate_http_request_seconds",
    "Time to answer, by route.",
    ["route"],
    buckets=LATENCY_BUCKETS_S,
)
CONNECTIONS = Gauge(
    "tillgate_http_connections",
    "Open connections, by listener: public, operations.",
    ["listener"],
    multiprocess_mode="livesum",
)
CONNECTIONS_CLOSED = Counter(
    "tillgate_http_connections_closed_total",
    "Connections closed by the guard: head, unread, ahead, strangers, full.",
    ["reason"],
)
POLLS_HELD = Gauge(
    "tillgate_http_polls_held", "Requests that wait for news.", multiprocess_mode="livesum"
)
KEY_REFUSALS = Counter(
    "tillgate_key_refusals_total",
    "Requests refused though they name a key that exists, by the code of the refusal.",
    ["code"],
)
PAYMENTS = Counter(
    "tillgate_payment_changes_total",
    "Payments that changed into a status, by channel.",
    ["channel", "status"],
)
REFUNDS = Counter(
    "tillgate_refund_changes_total",
    "Refunds that changed into a status, by channel.",
    ["channel", "status"],
)
CHANNEL_CALLS = Counter(
    "tillgate_channel_calls_total",
    "Channel calls by outcome type.",
    ["channel", "operation", "outcome"],
)
SECOND_HOST_CALLS = Counter(
    "tillgate_channel_second_host_calls_total",
    "Channel calls that went to an account's second host.",
    ["channel", "operation", "outcome"],
)
CHANNEL_SECONDS = Histogram(
    "tillgate_channel_call_seconds",
    "Duration of channel calls.",
    ["channel", "operation"],
    buckets=LATENCY_BUCKETS_S,
)
UNLISTED_CODES = Counter(
    "tillgate_channel_unlisted_codes_total",
    "Channel codes that stand in no table.",
    ["channel", "operation"],
)
UNSIGNED_REFUSALS = Counter(
    "tillgate_channel_unsigned_refusals_total",
    "Refusals that a channel did not sign: a key, an id or a field of ours is wrong.",
    ["channel", "operation"],
)
RELEARNED = Counter(
    "tillgate_restored_relearned_total",
    "Payments relearned from a channel after a restore.",
    ["channel", "status"],
)
CALLBACKS = Counter(
    "tillgate_callbacks_total",
    "Callbacks by result: applied, duplicate, stored, refused_<reason>.",
    ["channel", "result"],
)
SWEEPS = Counter(
    "tillgate_sweeper_steps_total", "Steps of the in-doubt sweeper.", ["channel", "step"]
)
ILLEGAL = Counter(
    "tillgate_illegal_transitions_total", "Transitions refused by the tables.", ["machine"]
)
STORE_REFUSALS = Counter(
    "tillgate_store_refusals_total",
    "Changes that the store's own rules refused, by SQLSTATE.",
    ["sqlstate"],
)
CASES = Counter("tillgate_cases_total", "Cases opened for people, by kind.", ["kind"])
CLAIMS = Counter(
    "tillgate_redis_claims_total", "Redis claims by result: taken, held, skipped.", ["result"]
)
WEBHOOKS = Counter(
    "tillgate_webhook_deliveries_total",
    "Webhook tries by result: delivered, postponed, given_up, disabled, lease_lost.",
    ["result"],
)
WEBHOOK_LAG = Gauge(
    "tillgate_webhook_lag_seconds",
    "How long the oldest event taken last had waited for its first try.",
    multiprocess_mode="livemax",
)
STORE_FLUSHES = Histogram(
    "tillgate_group_writer_batch_records",
    "Records in one flush.",
    ["kind"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
)
STORE_RETRIES = Counter(
    "tillgate_group_writer_retries_total", "Flushes sent again, by reason.", ["reason"]
)
IN_FLIGHT = Gauge(
    "tillgate_payments_in_flight", "Payments this worker is carrying.", multiprocess_mode="livesum"
)
CLOCK_AHEAD = Gauge(
    "tillgate_host_clock_ahead_seconds",
    "How far this host's clock is ahead of the database's, which is used.",
    multiprocess_mode="mostrecent",
)
SNAPSHOT_AGE = Gauge(
    "tillgate_directory_age_seconds",
    "Age of the snapshot of keys and accounts.",
    multiprocess_mode="max",
)
ACCOUNTS_LEFT_OUT = Gauge(
    "tillgate_directory_accounts_left_out",
    "Channel accounts that cannot be used as stored.",
    ["channel"],
    multiprocess_mode="max",
)
KEYS_LEFT_OUT = Gauge(
    "tillgate_directory_keys_left_out",
    "API keys that cannot be used as stored.",
    multiprocess_mode="max",
)
AUDIT_LAG = Gauge(
    "tillgate_audit_lag_seconds",
    "Age of the oldest event or act that no link of the audit chain covers yet.",
    multiprocess_mode="livemax",
)
EVENTS_WAIT = Gauge(
    "tillgate_events_wait_seconds",
    "Age of the oldest open transaction that the feed of events waits for.",
    multiprocess_mode="livemax",
)
AUDIT_LINKS = Gauge(
    "tillgate_audit_links", "Number of the audit chain's newest link.", multiprocess_mode="livemax"
)
CERTIFICATE_DAYS = Gauge(
    "tillgate_certificate_days_left",
    "Days until the first certificate of a channel's accounts expires.",
    ["channel"],
    multiprocess_mode="livemin",
)
BREAKERS = Gauge(
    "tillgate_channel_breakers",
    "Breakers of channel accounts that are not closed, by state: open, half_open, resting; "
    "all workers together.",
    ["channel", "state"],
    multiprocess_mode="livesum",
)
HEALTH_CHANGES = Counter(
    "tillgate_channel_health_changes_total",
    "Moves of breakers (to: a state) and scores (to: down, up).",
    ["channel", "what", "to"],
)
HEALTH_LOST = Counter(
    "tillgate_channel_health_changes_lost_total",
    "Health changes that could not be written down in time.",
)
PROBES = Counter(
    "tillgate_channel_probes_total",
    "Probes of accounts whose breaker is open: answered, failed.",
    ["channel", "result"],
)
ADMISSIONS = Counter(
    "tillgate_channel_admissions_total",
    "Payments that found their first account not able: backup, nobody.",
    ["channel", "result"],
)
