"""Where WeChat Pay behaves oddly, as switches. Every default is what the real host does."""

from typing import Literal, TypeAlias

from sandbox.surroundings import Settings, Surroundings


class WeChatSettings(Settings, kw_only=True, forbid_unknown_fields=True):
    """Beside those of every channel."""

    # Whether a request without `Wechatpay-Serial: PUB_KEY_ID_…` is refused in public-key mode. The
    # header only chooses the key that signs the answer.
    serial_header_is_required: bool = False
    # The status of codepay's answer while the payer types the password.
    user_paying_status: Literal[200, 202] = 202
    # Whether closing a closed order again is answered as the first time, and not ORDER_CLOSED.
    close_may_repeat: bool = False
    # Whether characters of four bytes (emoji) are taken, and not refused as PARAM_ERROR.
    four_byte_characters_are_taken: bool = False
    # Whether the refusal of a malformed parameter is signed.
    parameter_refusals_are_signed: bool = False
    # Whether a field that an order or a refund does not have is null, and not left out. The rules
    # allow both.
    absent_fields_are_null: bool = False
    # Whether words come without their underscores (ORDERNOTEXIST). The pages write both.
    words_are_run_together: bool = False
    # What a reply calls a refund's state. One report from production has the name of the callback.
    refund_state_is_called: Literal["status", "refund_status"] = "status"


World: TypeAlias = Surroundings[WeChatSettings]
