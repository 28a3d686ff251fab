-- Behind the lock of 0034: it reads every row.
ALTER TABLE payment VALIDATE CONSTRAINT payment_days;
