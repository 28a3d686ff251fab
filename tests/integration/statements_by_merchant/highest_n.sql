SELECT max(a.trade_number) AS n
FROM claim k
JOIN attempt a ON a.merchant_id = k.merchant_id AND a.payment_id = k.payment_id
WHERE k.merchant_id = $1 AND k.order_no = $2 AND k.tender_no = $3
