"""An older worker writes refunds beside this schema: the database fills in what it omits."""

from tests.world import Shop, shop


async def test_the_store_of_an_older_workers_refund(database, redis_url):
    async with shop(database, redis_url=redis_url) as counter:
        paid = (await counter.pay(1000, method="cash")).document
        await as_before(counter, paid)
        [row] = await counter.rows(
            "SELECT store_id, terminal_id, day_limit FROM refund WHERE id = 'ref_old'"
        )
        assert tuple(row) == (paid["store_id"], None, None)


async def as_before(counter: Shop, paid: dict) -> None:
    await counter.rows(
        """INSERT INTO refund (merchant_id, id, payment_id, attempt_id, version, status, channel,
  channel_account, refund_no, out_refund_no, amount, currency, origin, reason, created_at, tries,
  silences, heard, evidence)
SELECT p.merchant_id, 'ref_old', p.id, a.id, 1, 'succeeded', a.channel, a.channel_account, 'old',
  'TGOLD', 1, 'CNY', 'merchant', '', now(), 0, 0, 0, '[]'
FROM payment p JOIN attempt a ON a.payment_id = p.id WHERE p.id = $1""",
        paid["id"],
    )
