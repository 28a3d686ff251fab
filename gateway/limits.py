"""Every bound of the gateway, unit last in its name, with its reason.

Asserts at the end relate them.
"""

# --- HTTP edge
REQUEST_BODY_BYTES_MAX = 65_536  # a pay request is under 2 KiB; card blobs and metadata leave room
# A body arrives with its head; a slower one holds a connection for nothing.
REQUEST_BODY_TIMEOUT_MS = 10_000
REQUEST_BODY_DEPTH_MAX = 8  # our own bodies nest twice
QUERY_PARAMETERS_MAX = 16  # no list takes more than eight
AUTH_CODE_CHARS_MAX = 64  # the longest code has 35; scanners may add blanks
CALLBACK_BODY_BYTES_MAX = 16_384  # channels send under 8 KiB; a flood must not cost memory
AUTHORIZATION_BYTES_MAX = 512  # key id, time and 44 characters of signature
IDEMPOTENCY_KEY_CHARS_MAX = 255  # as the contract says
SIGNATURE_WINDOW_S = 300  # till clocks drift; replay is harmless because every create has a key
# A wallet answers in under a second, a typed password takes longer than anyone waits.
WAIT_S_DEFAULT = 5
WAIT_S_MAX = 30  # longer polls die in proxies
QR_EXPIRES_S_DEFAULT = 300  # as the contract says
LIST_LIMIT_DEFAULT = 20  # a screen
LIST_LIMIT_MAX = 100  # a page that still answers in milliseconds
METADATA_KEYS_MAX = 20  # metadata is for references, not for documents
METADATA_KEY_CHARS_MAX = 40  # a name, not a sentence
METADATA_CHARS_MAX = 500  # per value
DESCRIPTION_CHARS_MAX = 127  # WeChat's bound, the smallest of the channels
OVERRIDE_REASON_CHARS_MAX = 200  # a sentence for whoever audits it
REASON_CHARS_MAX = 80  # WeChat's bound for the reason of a refund
REFERENCE_CHARS_MAX = 64  # order, refund, store and operator numbers, and ids of ours
CURSOR_CHARS_MAX = 128  # the cursor of the event list: two numbers of a database and some signs
EXPIRES_IN_S_MIN = 60  # a shown code lives at least Alipay's smallest step
EXPIRES_IN_S_MAX = 7_200  # the channels' shortest maximum

# --- money
AMOUNT_FEN_MIN = 1  # nothing is not a payment
AMOUNT_FEN_MAX = 10_000_000_000  # 100 million yuan: the contract's bound, and Alipay's
TENDER_NO_MAX = 99  # tenders of one bill

# --- channel calls
# TCP and TLS take 150 ms inside the country, and a lost SYN is repeated only after 1 s: later is a
# dead host.
CONNECT_TIMEOUT_MS = 500
READ_TIMEOUT_MS = 3_000  # silence of one read
CALL_TIMEOUT_MS = 5_000  # one whole channel call
# From the decision to pay until the first byte must leave: what a worker believes is never older
# than this.
SEND_DEADLINE_MS = 1_200
CHANNEL_ANSWER_BYTES_MAX = 1_048_576  # a trade answer is under 8 KiB
CHANNEL_CONNECTIONS_MAX = 256  # per worker and channel account; barcode calls take about 0.3 s
CHANNEL_KEEPALIVE_S = 10  # shorter than the channels' own, so that we close first
EVIDENCE_CHARS_MAX = 4_096  # a signed answer, kept whole in nearly every case
EVIDENCE_ITEMS_MAX = 24  # first and last answers tell the story; the middle of a long poll does not
# Accounts tried for one payment; a cashier waits no longer, and a fifth would hardly fare better.
ATTEMPTS_MAX = 4
SIGNING_THREADS = 2  # RSA releases the GIL; more threads than cores only wait
CLOCK_SKEW_S_MAX = 300  # WeChat's header window, both ways
ALIPAY_NOTIFY_FIELDS_MAX = 100  # a notify has about thirty
ALIPAY_ANSWER_BYTES_MAX = 65_536  # a trade answer is under 8 KiB, and it is scanned on the loop
ALIPAY_ANSWER_DEPTH_MAX = 32  # a trade answer has four levels
# WeChat Pay's own bound; counted in bytes, which is never too many.
WECHAT_DESCRIPTION_BYTES_MAX = 127
WECHAT_SCENE_ID_BYTES_MAX = 32  # WeChat Pay's own bound of store and device ids
WECHAT_REFUND_REASON_BYTES_MAX = 80  # WeChat Pay's own bound
WECHAT_CHANNEL_CODE_CHARS_MAX = 64  # the longest word it uses has 22
WECHAT_QR_CODE_CHARS_MAX = 512  # what a QR code of a bearable size holds

# --- store
FLUSH_RECORDS_MAX = 128  # beyond this a batch only adds latency
FLUSHES_IN_FLIGHT_MAX = 2  # one commits while the next one is built
WRITER_QUEUE_RECORDS_MAX = 2_048  # sixteen full flushes; then 503 before anything is written
# Unsent behind a store that hangs: the till hears so, while "nothing written" is certain.
WRITER_QUEUE_WAIT_MS_MAX = 2_000
# One batch with its repeats, from its first sending: a till is answered, if only with "perhaps".
WRITER_FLUSH_MS_MAX = 10_000
PAYMENTS_IN_FLIGHT_MAX = 1_024  # admission per worker
READ_CONNECTIONS_MAX = 8  # per worker; reads are short
LIST_CONNECTIONS_MAX = 4  # per worker, apart: the road of a payment never waits behind a list
LIST_TIMEOUT_MS = 500  # a page from an index takes a millisecond; a longer walk is refused
LIST_LOOK_BACK_DAYS = 31  # how far a list goes back that does not say from when
# Per worker; only tenders of split orders need transactions of several statements.
TRANSACTION_CONNECTIONS_MAX = 4
STATEMENT_TIMEOUT_MS = 5_000  # no statement of ours takes 100 ms in health
STORE_ANSWER_TIMEOUT_MS = 6_000  # after the server's own timeout, so that its word comes first

# --- health of channel accounts
# A call that has not answered by now counts as failed until it does: a hanging channel costs one
# second, not five.
CHANNEL_SLOW_MS = 1_000
# Where answers usually take long, three times as long as usual; never more than this.
CHANNEL_SLOW_MS_MAX = 3_000
# While calls are under way: how much later a tick comes is how long the loop stood still.
LOOP_TICK_MS = 20
BREAKER_FAILURES_MAX = 5  # in a row: under load, a tenth of a second
# In a row: enough for a lonely till, when nothing else of the account has answered since ...
BREAKER_LONELY_FAILURES_MAX = 2
BREAKER_LONELY_CALLS_MAX = 5  # ... lonely: fewer calls than this within memory ...
BREAKER_LONELY_MS = 60_000  # ... and the first of them this long ago at most
BREAKER_CALLS_MIN = 20  # a share of fewer calls is chance
BREAKER_SUCCESS_PERCENT_MIN = 50  # half of the payments lost is worse than none taken here
# Time constant of the averages: what is older than two of these hardly counts.
BREAKER_MEMORY_MS = 30_000
BREAKER_OPEN_MS_MIN = 1_000  # a false alarm is over before the customer has put the phone away ...
BREAKER_OPEN_MS_MAX = 8_000  # ... and a channel that is back waits no longer than this
# Queries answer and a payment did not: who tries next may be in doubt for a minute, so later ...
BREAKER_LOST_TRIAL_MS_MIN = 20_000
# ... and later still, doubling up to this; the backups take the payments meanwhile.
BREAKER_LOST_TRIAL_MS_MAX = 60_000
# An account that refuses what others may take comes last for this long ...
BREAKER_REST_MS_MIN = 30_000
BREAKER_REST_MS_MAX = 300_000  # ... doubling up to this: limits and maintenance last
# Added to every open time: workers that saw the same do not probe together.
BREAKER_JITTER_PERCENT = 25
BREAKER_FORGET_MS = 60_000  # closed for this long, the next opening is a first one again
# A payment on trial that says nothing for this long makes room for another.
BREAKER_TRIAL_MS = 7_000
PROBE_TICK_MS = 100  # how often a worker looks for accounts to probe
PROBE_EVERY_MS = 1_000  # while no account of a way to pay can take a payment
PROBE_TIMEOUT_MS = 1_500  # a query takes 100 ms
PROBE_LEASE_MS = 3_000  # one worker probes an account; the others wait for its word this long
PROBE_AGAIN_MS = 500  # who waits looks again after this
PROBE_GRACE_MS = 5_000  # nobody probed for this long (no prober runs): a payment tries
PROBES_MAX = 16  # of one worker at once
SCORE_MAX = 100  # an account at rest
SCORE_STEP = 10  # a score moves by this ...
SCORE_STEP_MS = 1_000  # ... not faster than this ...
SCORE_DRIFT_MS = 10_000  # ... and drifts back by a step in this time
# Points lost beyond this cost an account one place in the order, beyond twice this two.
SCORE_PLACE = 30
# Steps are taken below this success rate: one failure in a thousand is no sign.
SCORE_SUCCESS_PERCENT = 90
# One account's share of a worker: three others stay at full speed.
BULKHEAD_PAYMENTS_MAX = PAYMENTS_IN_FLIGHT_MAX // 4
BOARD_INTERVAL_MS = 250  # how often workers tell one another through Redis
BOARD_AGE_MS_MAX = 10_000  # what is older on the board is nobody's word any more
BOARD_ENTRIES_MAX = 512  # read of a board; a longer one is not ours
BOARD_REASON_CHARS_MAX = 120  # of a reason, on the board and in events
# Another worker's alarm that our own probe refuted is not believed again for this long.
HEARD_GAP_MS = 30_000
HEALTH_CHANGES_MAX = 1_000  # waiting for Postgres; then the oldest are lost, and counted
HEALTH_CHANGES_INTERVAL_MS = 500  # how often they are written

# --- routing
ROUTING_RULES_MAX = 100  # of one set: they are walked for every payment
ROUTING_USES_MAX = 20  # accounts of one rule
ROUTING_RULES_BYTES_MAX = 65_536  # one set as JSON
ROUTING_NAME_CHARS_MAX = 40  # stands in every `why`
ROUTING_WEIGHT_MAX = 1_000  # parts; finer shares are noise
WHY_CHARS_MAX = 500  # stored with every attempt

# --- Redis
REDIS_TIMEOUT_MS = 50  # saved work must not cost more than the work
REDIS_STATE_TIMEOUT_MS = 1_000  # a report says whether it is there, not whether it is quick
REDIS_FAILURES_MAX = 3  # then it is left alone ...
REDIS_REST_MS = 1_000  # ... this long
CLAIM_TTL_MS = 30_000  # longer than any pay call, shorter than a cashier's patience
HELD_LOOKS_MAX = 5  # a held claim means a row is being written: look this often ...
HELD_PAUSE_MS = 10  # ... with this pause, then let Postgres decide

# --- directory snapshot
DIRECTORY_REFRESH_MS = 2_000  # a revoked key dies within two refreshes ...
LEFT_OUT_SHOWN_MAX = 5  # keys and accounts that a readiness report names; `doctor` names all
DIRECTORY_AGE_MS_MAX = 5_000  # ... or writes stop

# --- webhook endpoints
WEBHOOK_URL_CHARS_MAX = 2_048  # longer ones do not survive proxies
# Enabled at one merchant; each is told every event, in the transaction that makes it.
WEBHOOK_ENDPOINTS_MAX = 20
# Of a merchant in all, disabled ones too: none is ever deleted. A new one each week, for years.
WEBHOOK_ENDPOINTS_KEPT_MAX = 200
WEBHOOK_EVENT_TYPES_MAX = 32  # there are thirteen
WEBHOOK_CONCURRENCY_DEFAULT = 4  # deliveries under way to one endpoint: a shop's server is small
WEBHOOK_CONCURRENCY_MAX = 16  # one merchant must not take a courier for itself
WEBHOOK_SECRET_BYTES = 32  # as long as the HMAC-SHA256 it keys
WEBHOOK_SECRET_OVERLAP_H = 24  # both secrets sign for so long: a day to roll the new one out
# The newest sign: a rotation whose answer was lost is simply done again.
WEBHOOK_SECRETS_LIVE_MAX = 3
WEBHOOK_RESEND_MAX = 1_000  # dead letters brought back by one call; call again for the rest
WEBHOOK_ANSWERS_SHOWN_MAX = 20  # of one delivery, the newest; a full round has about that many

# --- workers and sweeper
# The promise: from kill -9 until somebody else has taken what the worker had sent.
WORKER_DEATH_NOTICED_MS_MAX = 2_000
HEARTBEAT_INTERVAL_MS = 250  # one tiny update a worker
# A beat that hangs gives its connection up for a new one, well before the lease ends.
HEARTBEAT_TIMEOUT_MS = 750
HEARTBEAT_LEASE_MS = 1_500  # silence after which a worker counts as gone
OLDER_WORKER_GONE_MS = 60_000  # for what it must never meet: one that stood still may go on
CLOCK_ASKING_MS_MAX = 500  # an answer longer under way says too little about the database's clock
CLOCK_SLEWED_MS_MAX = 2_000  # a larger difference is no drift: somebody set a clock
SWEEP_INTERVAL_MS = 200  # how often due work is looked for
SWEEP_TAKE_MS = 200  # one look, on a server in health
# Visits of one process at once, to attempts and to refunds each: sockets, and answers in memory.
SWEEP_VISITS_MAX = 256
# Sixteen accounts have to hang at once before anybody else waits; one that answers in 0.1 s gives
# 160/s.
SWEEP_VISITS_PER_ACCOUNT_MAX = 16
SWEEP_LEASE_MS = 15_000  # one visit: a query, a write, a cancel, a write, each bounded
WATCH_INTERVAL_MS = 250  # one query a worker looks at all awaited payments
SILENCES_QUICK_MAX = 4  # visits in a row that learn nothing before phase 2
# A visit asks and then cancels: so long after the moment of the last one a till has its answer.
DECISION_MS = 2 * CALL_TIMEOUT_MS
# A till whose answer is further away than this may ask a supervisor to let another payment in.
OVERRIDE_WAIT_MS = 30_000
SILENCES_BEFORE_CASE = 8  # in a row, after which a person should know; asking goes on
# A WeChat reversal waits for its proof with 58; after more that end nothing, a person should know.
CANCELS_QUICK_MAX = 64
# A refund that waits for a person, under the same number: balances are topped up within the day.
REFUND_AGAIN_MS = 3_600_000
# What a till gives back without a second person: a large table's bill ...
TERMINAL_REFUND_FEN_MAX = 200_000
TERMINAL_REFUND_DAY_FEN_MAX = 1_000_000  # ... and a bad day; `tillgate key limits` sets others
# Alipay: not before 10 s; the last repeats.
REFUND_STEPS_MS = (10_000, 30_000, 60_000, 300_000, 1_800_000, 3_600_000)
RESTORED_NUMBERS_MAX = 64  # attempts of one tender that the channels know; more are no meal
OPEN_RETRIES_MAX = 8  # openings of one tender that race for the same attempt number
STALE_RETRIES_MAX = 32  # a writer that loses the comparison this often in a row gives up: 503
STALE_QUICK_MAX = 4  # losses in a row after which a writer waits before it tries again ...
STALE_WAIT_MS_MIN = 4  # ... at most this long, a random part of it, doubling with each loss ...
STALE_WAIT_MS_MAX = 64  # ... up to this: a write takes a few milliseconds
# What a channel told us is offered to a struggling database this often; then the sweeper asks.
WRITE_RETRIES_MAX = 10
WRITE_RETRY_MS = 500  # between those
# Phase 2: query and cancel themselves fail; the last repeats.
RETRY_STEPS_MS = (15_000, 60_000, 300_000, 1_800_000, 3_600_000)
# Added to each: visits that an outage stopped together do not come back together.
RETRY_JITTER_PERCENT = 20

CERTIFICATE_DAYS_LEFT_MIN = 30  # then `doctor` warns: a new one takes a channel some days
CERTIFICATE_LOOK_MS = 3_600_000  # how often `tillgate work` looks at them
EVENTS_WAIT_LOOK_MS = 5_000  # how often it looks what the events wait for

# --- audit chain
AUDIT_LINK_ROWS = 500  # rows of one link: their digests take a millisecond of the loop
AUDIT_LINKS_READ = 50  # links read at once by whoever verifies: 1.2 MB
AUDIT_INTERVAL_MS = 1_000  # how often the chain grows: what is younger could be changed unseen
AUDIT_LAG_S_MAX = 60  # behind by more than this, something holds it up
AUDIT_HEAD_TOLD_S = 86_400  # how often the log says the head, to be kept elsewhere
AUDIT_DOCTOR_LINKS = 20  # the newest, verified by `tillgate doctor`
KEY_USE_INTERVAL_MS = 10_000  # how often a worker writes which keys were used ...
KEY_USE_MS_MIN = 60_000  # ... and of one key not sooner than this after the last time

# --- webhooks
WEBHOOK_TRIED_FOR_MS_MIN = 86_400_000  # a day: somebody reads an alarm, and repairs a server
# When the last of these waits has brought no answer, the delivery is dead.
WEBHOOK_STEPS_MS = (
    5_000,
    30_000,
    120_000,
    600_000,
    1_800_000,
    3_600_000,
    7_200_000,
    14_400_000,
    28_800_000,
    43_200_000,
)
WEBHOOK_JITTER_PERCENT = 20  # added to every wait: what failed together does not come back together
WEBHOOK_RETRY_AFTER_MS_MAX = 3_600_000  # a merchant may ask for quiet, not for silence
WEBHOOK_INTERVAL_MS = 200  # how often due deliveries are looked for while there are none
WEBHOOK_GAP_MS = 10  # between two looks while there are
# Of one process: 64 ordinary endpoints have to hang before anybody else waits, and then they rest.
WEBHOOKS_IN_FLIGHT_MAX = 256
# Of one merchant, over all its endpoints: three others stay at full speed.
WEBHOOKS_PER_MERCHANT_MAX = WEBHOOKS_IN_FLIGHT_MAX // 4
WEBHOOK_CONNECT_TIMEOUT_MS = 5_000  # DNS, TCP and TLS, over any distance
WEBHOOK_TIMEOUT_MS = 15_000  # one try; the shortest that Standard Webhooks recommends
WEBHOOK_WORDS_TIMEOUT_MS = 2_000  # the status decides; the words behind it are not worth a slot
WEBHOOK_LEASE_MS = 30_000  # a try and the note of it
WEBHOOK_ANSWER_BYTES_MAX = 8_192  # read of an answer; the rest is left on the wire
WEBHOOK_WORDS_CHARS_MAX = 300  # kept of it for the delivery log
WEBHOOK_FAILURES_MAX = 5  # in a row, then the endpoint rests ...
# ... this long after the first round, doubling with each probe that fails ...
WEBHOOK_REST_MS_MIN = 15_000
WEBHOOK_REST_MS_MAX = 600_000  # ... up to this
WEBHOOK_TOLERANCE_S = 300  # for receivers: how old a signed message may be
WEBHOOK_SECRET_BYTES_MIN = 24  # Standard Webhooks, "Signature scheme"
WEBHOOK_SECRET_BYTES_MAX = 64  # as above: 512 bits
WEBHOOK_SIGNATURE_CHARS_MAX = 1_024  # some twenty signatures; two are sent while a secret rotates

# --- supervisors
# After a wrong PIN the same person waits at the same till so long, then twice as long ...
SUPERVISOR_WAIT_S_MIN = 1
SUPERVISOR_WAIT_S_MAX = 900  # ... up to this
# At all tills together: ten tries of a million PINs, then an administrator sets a new one.
SUPERVISOR_FAILURES_MAX = 10

# --- processes
WORKERS_MAX = 64  # more processes than cores only wait; connections to PostgreSQL grow with each
WORKER_RESTART_WAIT_S_MIN = 0.1  # a single crash is repaired before anybody notices
WORKER_RESTART_WAIT_S_MAX = 5.0  # a worker that cannot start must not eat the machine
# About three seconds; nobody served anything yet, so giving up harms nobody.
WORKER_FIRST_STARTS_MAX = 5
WORKER_HEALTHY_AFTER_S = 10.0  # having lived this long, the next crash counts as the first
WORKER_READY_WAIT_S = 30.0  # connecting, reading the directory, warming the prepared statements
# Accepted, unread and idle connections get their answer, and the word to go elsewhere.
DRAIN_GRACE_S = 1.5
# Then requests in flight are given this long; the longest pay call takes half of it.
DRAIN_REQUESTS_S = 10.0
LISTEN_BACKLOG = 1_024  # connections that wait while every worker is busy or being replaced
# Draining, then closing pools; whoever is slower is killed, which loses nothing durable.
WORKER_STOP_WAIT_S = 20.0

# --- schema
MIGRATION_LOCK_POLL_MS = 200  # a blocked wait would hold a snapshot: see storage/schema/migrate.py
MIGRATION_LOCK_WAIT_S = 900.0  # longer than any index build we would run while serving
MIGRATION_NOTICE_INTERVAL_S = 5.0  # a person who waits wants to know for what
# A migration in the queue for a table stops every payment behind it.
MIGRATION_TABLE_LOCK_WAIT_MS = 10_000

# --- embedded servers
EMBEDDED_POLL_MS = 20  # a start takes 60 ms when the data exists
EMBEDDED_POSTGRES_START_S = 120.0  # crash recovery and cold disks may be slow
EMBEDDED_POSTGRES_STOP_S = 30.0  # a fast shutdown writes one checkpoint
EMBEDDED_ABANDON_S = 5.0  # a server that is only starting has nothing to save
EMBEDDED_REDIS_START_S = 30.0  # reading an append-only file
EMBEDDED_REDIS_STOP_S = 10.0  # it has nothing to write but the last second
EMBEDDED_PROBE_S = 2.0  # a local server that lives answers in under a millisecond
EMBEDDED_RELAUNCH_S = 30.0  # how long a killed server's children may hold its memory
EMBEDDED_RELAUNCH_POLL_MS = 200  # each try leaves lines in the log
SOCKET_PATH_BYTES_MAX = 100  # the kernel's limit is 107 on Linux and 103 on macOS

# --- security
LIVE_TERMINAL_KEYS_MAX = 2  # the one in use and, while it rotates, its successor
LIVE_KEYS_MAX = 50  # of one merchant: its servers and its people, each with a key of their own
KEY_ID_CHARS_MAX = 64  # ours have 29; room for ids brought from another system
MASTER_KEY_BYTES = 32  # AES-256
MASTER_KEY_VERSION_MAX = 65_535  # two bytes in the header of a sealed value
MASTER_KEY_FILE_BYTES_MAX = 16_384  # about 300 versions: decades of quarterly rotation
SEALED_PLAINTEXT_BYTES_MAX = 65_536  # a private key with its certificate chain fits several times
SEAL_ABOUT_CHARS_MAX = 512  # kind of row and id, and five rights with names of their own
# Secrets that one transaction of `rekey` seals anew: followers of the event feed wait for it.
REKEY_BATCH_ROWS = 200
DIGEST_PURPOSES_MAX = 64  # purposes are constants of the code; each keeps one derived key in memory
RSA_KEY_BITS_MIN = 2_048  # NIST SP 800-131A; WeChat Pay and Alipay RSA2 ask for 2048
RSA_KEY_BITS_MAX = 8_192  # one signature with more takes longer than the channel call it is for
RSA_KEY_TEXT_CHARS_MAX = 16_384  # an 8192-bit private key in PEM has about 6400
RSA_SIGNATURE_CHARS_MAX = 1_368  # base64 of RSA_KEY_BITS_MAX / 8 bytes
REDACTION_DEPTH_MAX = 8  # deeper parts of a log event are replaced whole, never let through unread

assert SEND_DEADLINE_MS + HEARTBEAT_INTERVAL_MS < HEARTBEAT_LEASE_MS, (
    "a worker taken for dead must be past its send deadline"
)
assert HEARTBEAT_LEASE_MS + SWEEP_INTERVAL_MS + SWEEP_TAKE_MS < WORKER_DEATH_NOTICED_MS_MAX, (
    "a death is noticed in the promised time"
)
assert HEARTBEAT_TIMEOUT_MS + 2 * HEARTBEAT_INTERVAL_MS < HEARTBEAT_LEASE_MS, (
    "one beat that hangs does not kill a worker"
)
assert CONNECT_TIMEOUT_MS < SEND_DEADLINE_MS, "a host that is slow to connect may still be sent to"
assert CALL_TIMEOUT_MS + SEND_DEADLINE_MS < CLAIM_TTL_MS, "a claim outlives the call it protects"
assert SWEEP_LEASE_MS >= 2 * CALL_TIMEOUT_MS + SEND_DEADLINE_MS, "a visit fits into its lease"
assert 2 * CONNECT_TIMEOUT_MS <= SEND_DEADLINE_MS, (
    "a main host that is dead leaves time to reach the second one"
)
assert SWEEP_LEASE_MS >= 2 * (CONNECT_TIMEOUT_MS + CALL_TIMEOUT_MS), (
    "a visit fits into its lease though the main host is dead"
)
assert DIRECTORY_REFRESH_MS * 2 < DIRECTORY_AGE_MS_MAX, "one missed refresh is not an outage"
assert STATEMENT_TIMEOUT_MS < STORE_ANSWER_TIMEOUT_MS, "the server gives up before we do"
assert STORE_ANSWER_TIMEOUT_MS < WRITER_FLUSH_MS_MAX, (
    "a lost reply is read back within the same flush"
)
assert RSA_SIGNATURE_CHARS_MAX == (RSA_KEY_BITS_MAX // 8 + 2) // 3 * 4, (
    "base64 of the longest signature, no more"
)
assert AUTHORIZATION_BYTES_MAX >= 160 + KEY_ID_CHARS_MAX, "the longest lawful header fits"
assert TERMINAL_REFUND_FEN_MAX <= TERMINAL_REFUND_DAY_FEN_MAX, "one refund fits into its day"
assert WEBHOOK_SECRET_BYTES_MIN <= WEBHOOK_SECRET_BYTES <= WEBHOOK_SECRET_BYTES_MAX, (
    "as Standard Webhooks says"
)
assert DRAIN_GRACE_S + DRAIN_REQUESTS_S < WORKER_STOP_WAIT_S, (
    "a worker that drains as promised is never killed"
)
assert sum(WEBHOOK_STEPS_MS) >= WEBHOOK_TRIED_FOR_MS_MIN, "a merchant has a whole day to come back"
assert WEBHOOK_TIMEOUT_MS + STORE_ANSWER_TIMEOUT_MS < WEBHOOK_LEASE_MS, (
    "a try is noted while its lease lasts"
)
assert WEBHOOK_CONNECT_TIMEOUT_MS + WEBHOOK_WORDS_TIMEOUT_MS < WEBHOOK_TIMEOUT_MS, (
    "the merchant has time to answer"
)
assert WEBHOOK_TIMEOUT_MS < WORKER_STOP_WAIT_S * 1_000, (
    "tries under way end before whoever stops us loses patience"
)
assert WEBHOOK_CONCURRENCY_MAX <= WEBHOOKS_PER_MERCHANT_MAX, (
    "one endpoint may take its share though a merchant has a bound"
)
assert WEBHOOK_STEPS_MS[0] <= WEBHOOK_REST_MS_MIN < WEBHOOK_REST_MS_MAX, (
    "an endpoint rests longer than one failure waits"
)
assert BULKHEAD_PAYMENTS_MAX <= CHANNEL_CONNECTIONS_MAX, (
    "a payment that has its place finds a connection"
)
assert PROBE_TIMEOUT_MS < PROBE_LEASE_MS, "whoever probes has an answer before another may"
assert LOOP_TICK_MS * 10 < CHANNEL_SLOW_MS, "a loop that stood still is told from a slow channel"
assert CHANNEL_SLOW_MS < CHANNEL_SLOW_MS_MAX <= READ_TIMEOUT_MS, (
    "silence is noticed before the call ends by itself"
)
assert BREAKER_TRIAL_MS >= SEND_DEADLINE_MS + CALL_TIMEOUT_MS, (
    "a payment on trial has ended before another takes its place"
)
