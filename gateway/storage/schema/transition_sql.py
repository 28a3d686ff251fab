"""The database's own copy of the three tables:
`python -m gateway.storage.schema.transition_sql` prints the migration.

The newest `*_transitions.sql` must equal this text; a test holds it. A changed table therefore is a
new migration.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.domain.states import (
    ATTEMPT,
    ATTEMPT_LIVE,
    ATTEMPT_STATES,
    NEW,
    OVERRIDDEN_NEVER,
    PAYMENT_STATES,
    REFUND,
    REFUND_STATES,
    payment_moves,
)
from gateway.domain.statuses import AttemptStatus

# In these texts a backslash at the end of a line joins it with the next one: the migrations that
# were applied have longer lines.
_HEAD = """\
-- Generated from gateway/domain/states.py. \
Do not edit.
-- A change of status that is not a cell of the tables is refused, whoever asks; \
a version moves by one with
-- every change; only a sweeper's lease (due_at) may leave it.
"""

_TABLE = """
ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}_status;
ALTER TABLE {table} ADD CONSTRAINT {table}_status CHECK (status IN ({states}));

CREATE OR REPLACE FUNCTION check_{table}_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN{more}
    IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN (
        {moves}
    ) THEN
        RAISE EXCEPTION '{table} % cannot go from % to %', \
NEW.id, OLD.status, NEW.status USING ERRCODE = 'TG003';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER moves BEFORE UPDATE ON {table} \
FOR EACH ROW EXECUTE FUNCTION check_{table}_move();
"""

_VERSION = """
    IF NEW.version <> OLD.version + 1 \
AND (NEW.version <> OLD.version OR NEW.status <> OLD.status) THEN
        RAISE EXCEPTION '{table} % cannot go from version % to %', \
NEW.id, OLD.version, NEW.version USING ERRCODE = 'TG004';
    END IF;"""


_OVERRIDDEN = """
    IF OLD.overridden_at IS NULL AND (OLD.status, NEW.status) IN ({only})
        OR OLD.overridden_at IS NOT NULL AND NEW.status IN ({never}) THEN
        RAISE EXCEPTION 'payment % cannot go from % to %: an override decides', \
NEW.id, OLD.status, NEW.status USING ERRCODE = 'TG003';
    END IF;
    IF (NEW.overridden_at, NEW.overridden_by) \
IS DISTINCT FROM (OLD.overridden_at, OLD.overridden_by)
        AND (OLD.overridden_at IS NOT NULL \
OR OLD.status <> 'in_doubt' OR NEW.status <> 'in_doubt') THEN
        RAISE EXCEPTION 'payment % is % and cannot be overridden, or not again', \
NEW.id, OLD.status USING ERRCODE = 'TG003';
    END IF;"""


_CAPTURED = """
    IF NEW.status = 'captured_late' AND OLD.status IN ({live}) AND NOT EXISTS (
        SELECT FROM payment p WHERE p.id = NEW.payment_id AND p.merchant_id = NEW.merchant_id \
AND p.overridden_at IS NOT NULL
    ) THEN
        RAISE EXCEPTION 'attempt % cannot go from % to %: no override', \
NEW.id, OLD.status, NEW.status USING ERRCODE = 'TG003';
    END IF;"""


def transition_sql() -> str:
    """The whole migration."""
    payment = {(state, to) for state, to, _ in payment_moves() if state != NEW}
    attempt = {(state, to) for state, reach in ATTEMPT.items() for to in reach}
    refund = {(state, to) for state, reach in REFUND.items() for to in reach}
    return (
        _HEAD
        + _one("payment", PAYMENT_STATES, payment, _VERSION, _overridden())
        + _one("attempt", ATTEMPT_STATES, attempt, _captured_while_live())
        + _one("refund", REFUND_STATES, refund, _VERSION)
    )


def _overridden() -> str:
    moves = sorted((state, to) for state, to, overridden in payment_moves() if overridden)
    only = ", ".join(f"('{old}', '{new}')" for old, new in moves)
    never = ", ".join(f"'{state}'" for state in sorted(OVERRIDDEN_NEVER))
    return _OVERRIDDEN.format(only=only, never=never)


def _captured_while_live() -> str:
    live = [
        state
        for state, reach in ATTEMPT.items()
        if state in ATTEMPT_LIVE and AttemptStatus.CAPTURED_LATE in reach
    ]
    return _CAPTURED.format(live=", ".join(f"'{state}'" for state in live))


def _one(table: str, states: Iterable[str], moves: Iterable[tuple[str, str]], *more: str) -> str:
    rows = ",\n        ".join(f"('{old}', '{new}')" for old, new in sorted(moves) if old != new)
    names = ", ".join(f"'{state}'" for state in states)
    return _TABLE.format(
        table=table,
        states=names,
        moves=rows,
        more="".join(rule.format(table=table) for rule in more),
    )


if __name__ == "__main__":
    import sys

    sys.stdout.write(transition_sql())
