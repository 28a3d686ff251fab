SELECT pg_advisory_xact_lock(hashtext('tillgate.order'), order_lock($1, $2))
