"""How long a test waits for what must happen."""

# It only ends a test that has already failed: on a busy machine everything takes its time.
PATIENCE_S = 60.0
