"""Plays the subjects in order and says how each went."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp

from gateway.cli.dev.sandbox_control import SandboxRefused
from gateway.cli.dev.tour import (
    audit,
    cancellation,
    cash,
    code_payment,
    double_tap,
    failover,
    late_success,
    lost_answer,
    lost_cancelled,
    partial_refund,
    qr_payment,
    typed_password,
    webhook,
)
from gateway.cli.dev.tour.stage import Played, Stage, StepFailed
from gateway.cli.dev.voice import Voice

Subject = Callable[[Stage], Awaitable[Played]]

SUBJECTS: Final[tuple[tuple[str, Subject], ...]] = (
    ("Alipay code 支付宝付款码", code_payment.alipay),
    ("WeChat code 微信付款码", code_payment.wechat),
    ("Alipay QR 支付宝扫码", qr_payment.alipay),
    ("WeChat QR 微信扫码", qr_payment.wechat),
    ("cash with change 现金找零", cash.with_change),
    ("a double tap 重复点击", double_tap.charges_once),
    ("a typed password 输入密码", typed_password.then_paid),
    ("a lost answer 应答丢失", lost_answer.is_resolved),
    ("backup pays 备用渠道收款", failover.backup_pays),
    ("lost and cancelled 撤销后可收", lost_cancelled.is_safe),
    ("late money 迟到款退回", late_success.is_refunded),
    ("partial refund, Alipay 部分退款", partial_refund.alipay),
    ("partial refund, WeChat 部分退款", partial_refund.wechat),
    ("a cancel 撤销", cancellation.of_a_waiting_payment),
    ("webhook, verified 通知验签", webhook.is_received_and_verified),
    ("audit 对账", audit.books_agree),
)


async def play(stage: Stage, voice: Voice) -> int:
    """All subjects, each even when one before it failed; how many failed."""
    await stage.skip_old_events()
    failed = 0
    for title, subject in SUBJECTS:
        started = time.monotonic()
        try:
            played, ok = await subject(stage), True
        except (StepFailed, SandboxRefused) as failure:
            played, ok = Played("failed", str(failure)), False
        except (aiohttp.ClientError, TimeoutError) as failure:
            played, ok = Played("no answer", f"{type(failure).__name__}: {failure}"), False
        failed += not ok
        voice.step(
            ok=ok,
            title=title,
            verdict=played.verdict,
            seconds=time.monotonic() - started,
            detail=played.detail,
        )
    return failed
