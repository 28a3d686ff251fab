"""Every bound of the gateway, unit last in its name, with its reason. Asserts at the end relate them."""

# --- HTTP edge
REQUEST_BODY_BYTES_MAX = 65_536  # a pay request is under 2 KiB; card blobs and metadata leave room
REQUEST_BODY_TIMEOUT_MS = 10_000  # a body arrives with its head; a slower one holds a connection for nothing
REQUEST_BODY_DEPTH_MAX = 8  # our own bodies nest twice
QUERY_PARAMETERS_MAX = 16  # no list takes more than eight
AUTH_CODE_CHARS_MAX = 64  # the longest code has 35; scanners may add blanks
CALLBACK_BODY_BYTES_MAX = 65_536  # channels send under 8 KiB; a flood must not cost memory
AUTHORIZATION_BYTES_MAX = 512  # key id, time and 44 characters of signature
IDEMPOTENCY_KEY_CHARS_MAX = 255  # as the contract says
SIGNATURE_WINDOW_S = 300  # till clocks drift; replay is harmless because every create has a key
WAIT_S_DEFAULT = 5  # a wallet answers in under a second, a typed password takes longer than anyone waits
WAIT_S_MAX = 30  # longer polls die in proxies
QR_EXPIRES_S_DEFAULT = 300  # as the contract says
LIST_LIMIT_DEFAULT = 20  # a screen
LIST_LIMIT_MAX = 100  # a page that still answers in milliseconds
METADATA_KEYS_MAX = 20  # metadata is for references, not for documents
METADATA_KEY_CHARS_MAX = 40  # a name, not a sentence
METADATA_CHARS_MAX = 500  # per value
DESCRIPTION_CHARS_MAX = 127  # WeChat's bound, the smallest of the channels
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
CONNECT_TIMEOUT_MS = 1_000  # a connection takes 50 ms inside the country; later is a dead host
READ_TIMEOUT_MS = 3_000  # silence of one read
CALL_TIMEOUT_MS = 5_000  # one whole channel call
SEND_DEADLINE_MS = 2_000  # from the decision to pay until the first byte must leave
CHANNEL_ANSWER_BYTES_MAX = 1_048_576  # a trade answer is under 8 KiB
CHANNEL_CONNECTIONS_MAX = 256  # per worker and channel account; barcode calls take about 0.3 s
CHANNEL_KEEPALIVE_S = 10  # shorter than the channels' own, so that we close first
EVIDENCE_CHARS_MAX = 4_096  # a signed answer, kept whole in nearly every case
EVIDENCE_ITEMS_MAX = 24  # first and last answers tell the story; the middle of a long poll does not
SIGNING_THREADS = 2  # RSA releases the GIL; more threads than cores only wait
CLOCK_SKEW_S_MAX = 300  # WeChat's header window, both ways
ALIPAY_NOTIFY_FIELDS_MAX = 100  # a notify has about thirty
ALIPAY_ANSWER_BYTES_MAX = 65_536  # a trade answer is under 8 KiB, and it is scanned on the loop
ALIPAY_ANSWER_DEPTH_MAX = 32  # a trade answer has four levels
WECHAT_DESCRIPTION_BYTES_MAX = 127  # WeChat Pay's own bound; counted in bytes, which is never too many
WECHAT_SCENE_ID_BYTES_MAX = 32  # WeChat Pay's own bound of store and device ids
WECHAT_REFUND_REASON_BYTES_MAX = 80  # WeChat Pay's own bound
WECHAT_CHANNEL_CODE_CHARS_MAX = 64  # the longest word it uses has 22
WECHAT_QR_CODE_CHARS_MAX = 512  # what a QR code of a bearable size holds

# --- store
FLUSH_RECORDS_MAX = 128  # beyond this a batch only adds latency
FLUSHES_IN_FLIGHT_MAX = 2  # one commits while the next one is built
WRITER_QUEUE_RECORDS_MAX = 2_048  # sixteen full flushes; then 503 before anything is written
PAYMENTS_IN_FLIGHT_MAX = 1_024  # admission per worker
READ_CONNECTIONS_MAX = 8  # per worker; reads are short
STATEMENT_TIMEOUT_MS = 5_000  # no statement of ours takes 100 ms in health
STORE_ANSWER_TIMEOUT_MS = 6_000  # after the server's own timeout, so that its word comes first

# --- Redis
REDIS_TIMEOUT_MS = 50  # saved work must not cost more than the work
REDIS_STATE_TIMEOUT_MS = 1_000  # the readiness report says whether it is there, not whether it is quick
REDIS_FAILURES_MAX = 3  # then it is left alone ...
REDIS_REST_MS = 1_000  # ... this long
CLAIM_TTL_MS = 30_000  # longer than any pay call, shorter than a cashier's patience
HELD_LOOKS_MAX = 5  # a held claim means a row is being written: look this often ...
HELD_PAUSE_MS = 10  # ... with this pause, then let Postgres decide

# --- directory snapshot
DIRECTORY_REFRESH_MS = 2_000  # a revoked key dies within two refreshes ...
DIRECTORY_AGE_MS_MAX = 5_000  # ... or writes stop

# --- workers and sweeper
HEARTBEAT_INTERVAL_MS = 500  # one tiny update a worker
HEARTBEAT_LEASE_MS = 3_000  # silence after which a worker counts as gone
SWEEP_INTERVAL_MS = 200  # how often due work is looked for
SWEEP_BATCH = 64  # attempts taken at once
SWEEP_LEASE_MS = 15_000  # one visit: a query, a write, a cancel, a write, each bounded
WATCH_INTERVAL_MS = 250  # one query a worker looks at all awaited payments
SILENCES_QUICK_MAX = 4  # visits in a row that learn nothing before phase 2
SILENCES_BEFORE_CASE = 8  # in a row, after which a person should know; asking goes on
CANCELS_QUICK_MAX = 64  # a WeChat reversal waits for its proof with 58; after more that end nothing, a person should know
REFUND_AGAIN_MS = 3_600_000  # a refund that waits for a person, under the same number: balances are topped up within the day
REFUND_STEPS_MS = (10_000, 30_000, 60_000, 300_000, 1_800_000, 3_600_000)  # Alipay: not before 10 s; the last repeats
OPEN_RETRIES_MAX = 8  # openings of one tender that race for the same attempt number
STALE_RETRIES_MAX = 32  # writers that lose the comparison this often in a row are in a loop
WRITE_RETRIES_MAX = 10  # what a channel told us is offered to a struggling database this often; then the sweeper asks again
WRITE_RETRY_MS = 500  # between those
RETRY_STEPS_MS = (15_000, 60_000, 300_000, 1_800_000, 3_600_000)  # phase 2: query and cancel themselves fail; the last repeats

# --- processes
WORKERS_MAX = 64  # more processes than cores only wait; connections to PostgreSQL grow with each
WORKER_RESTART_WAIT_S_MIN = 0.1  # a single crash is repaired before anybody notices
WORKER_RESTART_WAIT_S_MAX = 5.0  # a worker that cannot start must not eat the machine
WORKER_FIRST_STARTS_MAX = 5  # about three seconds; nobody served anything yet, so giving up harms nobody
WORKER_HEALTHY_AFTER_S = 10.0  # having lived this long, the next crash counts as the first
WORKER_READY_WAIT_S = 30.0  # connecting, reading the directory, warming the prepared statements
DRAIN_GRACE_S = 1.5  # accepted, unread and idle connections get their answer, and the word to go elsewhere
DRAIN_REQUESTS_S = 10.0  # then requests in flight are given this long; the longest pay call takes half of it
LISTEN_BACKLOG = 1_024  # connections that wait while every worker is busy or being replaced
WORKER_STOP_WAIT_S = 20.0  # draining, then closing pools; whoever is slower is killed, which loses nothing durable

# --- schema
MIGRATION_LOCK_POLL_MS = 200  # a blocked wait would hold a snapshot: see storage/migrate.py
MIGRATION_LOCK_WAIT_S = 900.0  # longer than any index build we would run while serving
MIGRATION_NOTICE_INTERVAL_S = 5.0  # a person who waits wants to know for what
MIGRATION_TABLE_LOCK_WAIT_MS = 10_000  # a migration in the queue for a table stops every payment behind it

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
SEAL_ABOUT_CHARS_MAX = 200  # kind of row, slash, id
DIGEST_PURPOSES_MAX = 64  # purposes are constants of the code; each keeps one derived key in memory
RSA_KEY_BITS_MIN = 2_048  # NIST SP 800-131A; WeChat Pay and Alipay RSA2 ask for 2048
RSA_KEY_BITS_MAX = 8_192  # one signature with more takes longer than the channel call it is for
RSA_KEY_TEXT_CHARS_MAX = 16_384  # an 8192-bit private key in PEM has about 6400
RSA_SIGNATURE_CHARS_MAX = 1_368  # base64 of RSA_KEY_BITS_MAX / 8 bytes
REDACTION_DEPTH_MAX = 8  # deeper parts of a log event are replaced whole, never let through unread

assert SEND_DEADLINE_MS + HEARTBEAT_INTERVAL_MS < HEARTBEAT_LEASE_MS, "a worker taken for dead must be past its send deadline"
assert CALL_TIMEOUT_MS + SEND_DEADLINE_MS < CLAIM_TTL_MS, "a claim outlives the call it protects"
assert SWEEP_LEASE_MS >= 2 * CALL_TIMEOUT_MS + SEND_DEADLINE_MS, "a visit fits into its lease"
assert DIRECTORY_REFRESH_MS * 2 < DIRECTORY_AGE_MS_MAX, "one missed refresh is not an outage"
assert STATEMENT_TIMEOUT_MS < STORE_ANSWER_TIMEOUT_MS, "the server gives up before we do"
assert RSA_SIGNATURE_CHARS_MAX == (RSA_KEY_BITS_MAX // 8 + 2) // 3 * 4, "base64 of the longest signature, no more"
assert AUTHORIZATION_BYTES_MAX >= 160 + KEY_ID_CHARS_MAX, "the longest lawful header fits"
assert DRAIN_GRACE_S + DRAIN_REQUESTS_S < WORKER_STOP_WAIT_S, "a worker that drains as promised is never killed"
