INSERT INTO "order" (merchant_id, order_no, amount, created_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (order_no, merchant_id) DO UPDATE SET amount = excluded.amount
WHERE "order".amount IS NULL AND excluded.amount IS NOT NULL
