"""We tell merchants: endpoints, the outbox, and the courier that delivers it."""
