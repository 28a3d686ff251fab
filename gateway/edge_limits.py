"""The bounds by which the HTTP edge keeps strangers from harming the tills: connections, bodies,
rates. Every other bound is in `limits.py`.

Unit last in the name, each with its reason; asserts at the end relate them.
"""

from typing import NamedTuple

from gateway.limits import (
    CALLBACK_BODY_BYTES_MAX,
    LIST_CONNECTIONS_MAX,
    PAYMENTS_IN_FLIGHT_MAX,
    REQUEST_BODY_BYTES_MAX,
    SIGNATURE_WINDOW_S,
    WAIT_S_MAX,
)

# --- one connection
# A whole request head, from the first byte (from the connect, for the first one): one packet.
HEAD_TIMEOUT_S = 5.0
IDLE_TIMEOUT_S = 30.0  # a till that sells comes back sooner; another connect takes a millisecond
UNREAD_TIMEOUT_S = 30.0  # an answer has a few KiB: a reader that needs longer is not reading
# What a refused client still sends is read for so long, so that it hears the refusal.
LINGER_S = 2.0
CONNECTIONS_LOOK_S = 1.0  # how often all connections are looked at
REQUEST_LINE_BYTES_MAX = 4_096  # the longest list query has about 500
REQUEST_FIELD_BYTES_MAX = 4_096  # one header; the longest signature has 1 400
REQUEST_FIELDS_MAX = 64  # proxies add a dozen
REQUEST_HEAD_BYTES_MAX = 16_384  # all of it; ours have under 1 KiB
READ_BUFFER_BYTES = 8_192  # of a body, before the peer has to wait: four ordinary bodies
# Sent while a request is under way: its body, and the beginning of the next request.
BYTES_AHEAD_MAX = 131_072

# --- all connections of a worker
CONNECTIONS_MAX = 8_192  # each takes about 15 KiB; a worker is busy with far fewer
OPERATIONS_CONNECTIONS_MAX = 64  # a scraper, a probe, a person
# Of one address, by peers who have not yet proven a key; proven tills are not counted, since a
# whole store may share an address.
CONNECTIONS_OF_STRANGERS_MAX = 256
CONNECTIONS_CLOSED_AT_ONCE = 32  # when there are too many: finding the oldest takes a while
DESCRIPTORS_MAX = 65_536  # what we ask of the system; no worker can use more
DESCRIPTORS_RESERVED_MIN = 64  # for channels, PostgreSQL and Redis, however few there are
DESCRIPTORS_RESERVED_SHARE = 4  # one in so many, where there are enough

# --- bodies
BODIES_BYTES_MAX = 16_777_216  # announced or under way, of one worker: 8 000 ordinary ones
BODY_WITHOUT_LENGTH_BYTES_MAX = 8_192  # clients that send money know how long their body is
BODY_CHUNKS_MAX = 64  # a client that cuts a body into more pieces wants to cost time

# --- rates


class Rate(NamedTuple):
    """A bucket: `burst` requests at once, refilled with `per_s` a second."""

    per_s: float
    burst: int


# Of one terminal's key. A till at the lunch peak takes a payment every five seconds, asks for it a
# few times, and repeats itself when the network is bad: a tenth of this.
RATE_CREATE = Rate(20, 60)  # payments, and webhook endpoints
RATE_REFUND = Rate(10, 30)
RATE_CHANGE = Rate(20, 60)  # cancels, and what administers webhooks
RATE_READ = Rate(50, 150)
RATE_LIST = Rate(10, 30)  # each reads a page of rows
RATE_SERVER_FACTOR = 20  # a merchant's server asks for all its tills
RATE_FACTOR_MAX = 10_000  # of the setting that raises them all
# Of one peer that proves no key: refusals, documents, forged callbacks. A store whose clock is
# wrong is refused once for every tap of its tills.
RATE_STRANGER = Rate(20, 200)
RATE_PEERS_MAX = 10_000  # whose buckets are kept; the longest unused goes first
# The part of a worker that cannot reach Redis is not less than this, on hosts of many workers.
RATE_SHARE_MIN = Rate(2, 5)
RATE_LEASE_MS = 1_000  # what Redis lent is used within this time, or given back
RATE_DENIED_MS = 250  # after "nothing left", Redis has the last word for so long
RATE_LEASE_SHARE = 4  # one in so many of a burst is lent at once
RATE_TELL_SHARE = 4  # one in so many of a worker's share may be used before Redis hears of it
RATE_EXCHANGE_MS = 5  # between two exchanges with Redis, whatever was asked meanwhile
RATE_ASKS_MAX = 256  # in one exchange; the others follow in the next
POLLS_OF_A_KEY_MAX = 128  # `?wait=` held at once, of one key in one worker
POLLS_MAX = 2_048  # of all keys in one worker
# Lists being answered, of one key in one worker: a page takes a millisecond. Two rounds of the
# connections that lists have: another key's list waits no longer than for those.
LISTS_OF_A_KEY_MAX = 2 * LIST_CONNECTIONS_MAX

# --- signatures
# How long one is remembered that has acted, and must not act again.
SIGNATURE_KEPT_S = 600.0

# --- the security log
REFUSALS_TOLD_EVERY_S = 60.0  # after the first line of a kind, one a minute
REFUSAL_KINDS_MAX = 1_000  # told apart within a minute; then they are counted together

# --- what callers say
INSTANT_YEAR_MIN = 2_000  # no payment of ours is older ...
INSTANT_YEAR_MAX = 2_100  # ... and nothing of ours is planned for later

# --- probes
READINESS_AGE_MS_MAX = 250  # PostgreSQL is asked no more often, whoever asks us
METRICS_AGE_MS_MAX = 1_000  # rendering takes 10 ms of the loop's time
PRESTOP_S_MAX = 60  # load balancers look every few seconds

assert HEAD_TIMEOUT_S < IDLE_TIMEOUT_S, "a stranger gets less time than a till"
assert LINGER_S < HEAD_TIMEOUT_S, "a refused client is not better off than a silent one"
assert CONNECTIONS_LOOK_S * 2 < HEAD_TIMEOUT_S, "what is late is found soon"
assert UNREAD_TIMEOUT_S >= WAIT_S_MAX, "a reader gets as long as a till may wait"
assert REQUEST_LINE_BYTES_MAX + REQUEST_FIELD_BYTES_MAX <= REQUEST_HEAD_BYTES_MAX, (
    "the longest line and the longest header fit into one head"
)
assert REQUEST_HEAD_BYTES_MAX + REQUEST_BODY_BYTES_MAX < BYTES_AHEAD_MAX, (
    "the longest lawful request is never too far ahead"
)
assert SIGNATURE_KEPT_S >= 2 * SIGNATURE_WINDOW_S, (
    "one that is signed ahead of time is remembered until it is too old"
)
assert POLLS_OF_A_KEY_MAX * 8 <= POLLS_MAX, "one key does not take all places"
assert POLLS_MAX * 2 <= CONNECTIONS_MAX, "polls leave room for payments"
assert RATE_REFUND.per_s <= RATE_CREATE.per_s <= RATE_READ.per_s, "who pays must also ask"
assert RATE_DENIED_MS < RATE_LEASE_MS, "a word of Redis's does not outlive what it lends"
assert CALLBACK_BODY_BYTES_MAX <= REQUEST_BODY_BYTES_MAX, "nothing is longer than a request"
assert BODY_WITHOUT_LENGTH_BYTES_MAX <= CALLBACK_BODY_BYTES_MAX, "no length, no more room"
assert BODIES_BYTES_MAX >= 64 * REQUEST_BODY_BYTES_MAX, "long bodies do not starve one another"
assert CONNECTIONS_OF_STRANGERS_MAX * 4 <= CONNECTIONS_MAX, "one address cannot take all places"
assert CONNECTIONS_MAX + PAYMENTS_IN_FLIGHT_MAX + DESCRIPTORS_RESERVED_MIN < (
    DESCRIPTORS_MAX - DESCRIPTORS_MAX // DESCRIPTORS_RESERVED_SHARE
), "with all descriptors, every connection and every payment has one"
