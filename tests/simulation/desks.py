"""The flow of one simulated worker, wired as the composition root wires it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.domain.identifiers import Numbers
from gateway.flow.call.channel_call import ChannelCalls
from gateway.flow.callback import CallbackDesk
from gateway.flow.cancellation import Cancellation
from gateway.flow.checkout import Checkout
from gateway.flow.choose.health import ChannelHealth
from gateway.flow.in_doubt import InDoubt
from gateway.flow.learn.in_flight import InFlight
from gateway.flow.learn.lost_attempts import LostAttempts
from gateway.flow.learn.on_read import OnRead
from gateway.flow.learn.transition import Transitions
from gateway.flow.lookup import Lookup
from gateway.flow.open.idempotency import KeyDesk
from gateway.flow.open.order_desk import OrderDesk
from gateway.flow.open.restored import Restored
from gateway.flow.ports import Ports
from gateway.flow.refund import Refunds
from gateway.flow.send.failover import Failover
from gateway.flow.send.sending import Sender
from tests.fakes.supervisors import KnownSupervisors
from tests.shelf import Shelf
from tests.simulation.clock import SimClock, SimIds

ENVIRONMENT = "SM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desks:
    """What a worker can be asked for."""

    lookup: Lookup
    checkout: Checkout
    cancellation: Cancellation
    refunds: Refunds
    callbacks: CallbackDesk
    in_doubt: InDoubt


def wired(
    *,
    store: Any,
    claims: Any,
    directory: Shelf,
    clock: SimClock,
    ids: SimIds,
    worker_id: str,
    in_doubt: type[InDoubt],
) -> Desks:
    """`in_doubt`: the class under test, or a broken one."""
    ports = Ports(
        store=store, directory=directory, clock=clock, ids=ids, numbers=Numbers(ENVIRONMENT)
    )
    in_flight = InFlight(store)
    health = ChannelHealth(clock, worker_id=worker_id)
    calls = ChannelCalls(clock, health)
    lost = LostAttempts(ports=ports, calls=calls)
    transitions = Transitions(ports=ports, in_flight=in_flight, lost=lost)
    on_read = OnRead(store=store, in_flight=in_flight, transitions=transitions, clock=clock)
    lookup = Lookup(store, in_flight, on_read)
    failover = Failover(ports=ports, health=health, worker_id=worker_id)
    sender = Sender(transitions=transitions, calls=calls, health=health, failover=failover)
    orders = OrderDesk(
        store=store,
        directory=directory,
        supervisors=KnownSupervisors(),
        transitions=transitions,
        in_flight=in_flight,
    )
    learning: dict[str, Any] = {"ports": ports, "transitions": transitions, "calls": calls}
    refunds = Refunds(**learning, in_flight=in_flight, lookup=lookup)
    return Desks(
        lookup=lookup,
        checkout=Checkout(
            ports=ports,
            keys=KeyDesk(store, claims, ids),
            orders=orders,
            restored=Restored(ports=ports, transitions=transitions, lost=lost, orders=orders),
            in_flight=in_flight,
            on_read=on_read,
            sender=sender,
            health=health,
            digest=lambda _, text: f"digest of {text}",
            worker_id=worker_id,
        ),
        cancellation=Cancellation(lookup, transitions, in_flight),
        refunds=refunds,
        callbacks=CallbackDesk(**learning),
        in_doubt=in_doubt(**learning, refunds=refunds, sender=sender, in_flight=in_flight),
    )
