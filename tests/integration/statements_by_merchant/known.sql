SELECT
  (SELECT o.amount FROM "order" o WHERE o.merchant_id = $1 AND o.order_no = $2) AS amount,
  EXISTS (SELECT FROM claim k WHERE k.merchant_id = $1 AND k.idempotency_key = $3) AS bound
