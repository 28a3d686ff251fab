"""Every bound of the sandbox, unit last in its name, a reason each."""

from typing import Final

# the ledger
LEDGER_READY_SECONDS: Final = 15.0  # a predecessor may still be writing its last batch
LEDGER_CHUNK_BYTES: Final = 1 << 20  # one group fsync takes at most this much at once
LEDGER_PAGE_ROWS: Final = 500  # default page of GET /_control/ledger
LEDGER_PAGE_ROWS_MAX: Final = 5_000

# keys
KEY_BITS: Final = 2048  # what both channels require
SIGNING_THREADS: Final = 2  # RSA releases the GIL; more threads than cores only queue
CERTIFICATE_DAYS: Final = 1_825

# accounts
ACCOUNT_NAME_CHARS_MAX: Final = 64
BODY_BYTES_MAX: Final = 1 << 20
KEEPALIVE_SECONDS: Final = 75.0  # longer than any caller's, so that the caller closes first

# customers
# Until the customer has typed the password (magic code 03).
TYPING_MS: Final = {"standard": 5_000, "short": 800}
# From accepted to done, where a channel answers "processing".
REFUND_MS: Final = {"standard": 1_000, "short": 100}
# `short` runs the channel's own schedule ten times faster.
PROFILE_SCALE: Final = {"standard": 1.0, "short": 0.1}

# faults
FAULTS_ARMED_MAX: Final = 1_000
FAULT_DELAY_MS: Final = 2_000  # when a fault that waits was armed without delay_ms
FAULT_DELAY_MS_MAX: Final = 600_000

# callbacks
CALLBACK_TIMEOUT_SECONDS: Final = 5.0  # WeChat's own bound; Alipay publishes none
# Shortened from the channels' hours-long plans.
CALLBACK_RESEND_SECONDS: Final = (2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
CALLBACK_BODY_BYTES_MAX: Final = 4_096  # of the answer to a callback
CALLBACK_TIMES_MAX: Final = 200  # of one POST /_control/callbacks
CALLBACKS_AT_ONCE_MAX: Final = 256

# the process
PARENT_POLL_SECONDS: Final = 0.5
STOP_SECONDS: Final = 3.0  # in-flight answers at SIGTERM

assert LEDGER_PAGE_ROWS <= LEDGER_PAGE_ROWS_MAX
assert FAULT_DELAY_MS <= FAULT_DELAY_MS_MAX
