"""What a channel folder offers the sandbox, and what the sandbox tells it to do.

A channel is one package under `sandbox/` whose module `channel` has a `CHANNEL` of type `Channel`.
Its `Desk` answers for one account: it verifies a raw request into a `Call` (or refuses with a
`Reply`), seals replies, and writes callbacks.
"""

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from sandbox.book import Refund, Trade

MAIN, SECOND = "main", "second"
HOSTS = (MAIN, SECOND)  # every account has two doors, and one ledger behind them


class Customer(enum.Enum):
    """What the person behind a payment code does."""

    PAYS = "pays"
    NO_BALANCE = "no_balance"
    CODE_EXPIRED = "code_expired"
    TYPES_THEN_PAYS = "types_then_pays"
    TYPES_FOREVER = "types_forever"


class RefundFate(enum.Enum):
    """How a refund that is accepted goes on."""

    ORDINARY = "ordinary"
    SLOW = "slow"
    ABNORMAL = "abnormal"


class Saying(enum.Enum):
    """What an answer says in place of the truth."""

    SUCCESS = "success"
    FAILURE = "failure"
    SYSTEM_ERROR = "system_error"
    NOT_FOUND = "not_found"
    AGAIN = "again"
    BLOCKED = "blocked"


class Flaw(enum.Enum):
    """What is wrong with a seal."""

    NONE = "none"
    FOREIGN_KEY = "foreign_key"
    STALE_TIMESTAMP = "stale_timestamp"
    SIGNTEST = "signtest"


class Lie(enum.Enum):
    """Which fact a genuinely signed text gets wrong."""

    NONE = "none"
    AMOUNT = "amount"
    ORDER = "order"
    APP = "app"
    SELLER_OR_MCHID = "seller_or_mchid"


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Operations left to a fault at one channel, and why."""

    operations: frozenset[str]
    why: str


@dataclass(frozen=True, slots=True)
class Orders:
    """How a call shall go: the customer's and the refund's part in it."""

    customer: Customer = Customer.PAYS
    refund: RefundFate = RefundFate.ORDINARY
    refund_delay_ms: int = 0
    refund_at_once: bool = False  # done before it is answered, so that its callback can come first


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as its bytes came: `target` is path and query exactly as sent;
    header names are lower case.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Reply:
    """What the channel means to say, before it is sealed. `document` None is an empty body."""

    status: int
    document: dict[str, Any] | None
    signed: bool = True
    method: str = ""  # for channels whose envelope names the method


@dataclass(frozen=True, slots=True)
class Sealed:
    """Bytes for the wire: an answer, or (status unused) a callback."""

    headers: Mapping[str, str]
    body: bytes
    status: int = 200


@dataclass(frozen=True, slots=True)
class Notice:
    """A callback to write: a payment or a refund that became final."""

    kind: str
    trade: Trade
    refund: Refund | None
    url: str


class Call(Protocol):
    """One verified request."""

    operation: str
    out_trade_no: str
    auth_code: str

    @property
    def trade(self) -> Trade | None:
        """The trade it is about, as it is now, seen or unseen by queries."""

    def refused(self) -> Reply | None:
        """A refusal when the request is too old by now (it may have been held);
        asked right before `execute`.
        """

    def execute(self, orders: Orders) -> Reply:
        """Does it, in the book, at once, and says what is true."""

    def say(self, what: Saying) -> Reply:
        """Says `what` and does nothing."""


class Desk(Protocol):
    """One account's server at the channel."""

    def accept(self, request: RawRequest) -> Call | Reply:
        """Verifies over the raw bytes; a `Reply` is the refusal in the channel's own words."""

    async def seal(self, reply: Reply, flaw: Flaw, request: RawRequest) -> Sealed:
        """Encodes and signs the answer to this request, with the key that it asks for."""

    def lie(self, reply: Reply, lie: Lie) -> bool:
        """Changes that fact in the reply; False when it carries no such fact."""

    async def notify(self, notice: Notice, flaw: Flaw, lie: Lie) -> Sealed:
        """Encodes and signs a callback, anew for each sending."""

    def is_acknowledged(self, status: int, body: bytes) -> bool:
        """Whether the merchant's answer ends the resending."""

    def customer_pays(self, trade: Trade, *, only_scan: bool) -> str | None:
        """The customer acts on a shown QR or a typed password; text says why that is impossible."""

    async def rotate_key(self) -> None:
        """From now on answers and callbacks are signed with a new platform key;
        the old one stays published.
        """


@dataclass(slots=True)
class Account:
    """An enrolled merchant account, as the channel keeps it.

    `kept` never holds the merchant's private key.
    """

    channel: str
    account: str
    mode: str
    profile: str
    port: int
    kept: dict[str, Any]
    second_port: int = 0

    def public(self) -> dict[str, Any]:
        """The account without secrets, for `GET /_control/accounts`."""
        open_facts = {
            name: value for name, value in self.kept.items() if name in self.kept.get("public", ())
        }
        row = dataclasses.asdict(self)
        return (
            {key: row[key] for key in ("channel", "account", "mode", "profile")}
            | self.addresses()
            | {"facts": open_facts}
        )

    @property
    def base_url(self) -> str:
        """Where this account's channel server listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def second_base_url(self) -> str:
        """Its other host."""
        return f"http://127.0.0.1:{self.second_port}"

    def addresses(self) -> dict[str, str]:
        """Both, by the names that people see."""
        return {"base_url": self.base_url, "second_base_url": self.second_base_url}


class Channel(Protocol):
    """A channel folder's `CHANNEL`."""

    name: ClassVar[str]
    modes: ClassVar[tuple[str, ...]]  # of its keys; the first is the default
    operations: ClassVar[frozenset[str]]
    # Faults this protocol can show on fewer operations, or not at all.
    narrowed_faults: ClassVar[Mapping[str, Narrowed]]
    settings: ClassVar[type[Any]]  # a `sandbox.surroundings.Settings`

    async def enrol(self, account: Account, callback_url: str | None) -> dict[str, Any]:
        """Makes keys; fills `account.kept`;
        returns the merchant's credentials, which the sandbox forgets.
        """

    def open(self, account: Account, surroundings: Any) -> Desk:
        """The account's server; `surroundings` is a `sandbox.surroundings.Surroundings`."""
