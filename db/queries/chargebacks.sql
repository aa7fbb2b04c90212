-- Chargebacks, and what of their payments is left.

-- name: lock_payment
-- A payment by its psp's name for it, kept from other writers until the transaction ends.
select id, driver_id, session_id, amount_minor, refunded_minor, currency
from payment
where psp = $1
and psp_ref = $2
for update;

-- name: lock_payment_by_id
-- A payment, kept from other writers until the transaction ends.
select id
from payment
where id = $1
for update;

-- name: return_of_payment
-- $2 more (or less) of a payment has gone back.
update payment
set refunded_minor = refunded_minor + $2
where id = $1;

-- name: lock_balance
-- The balance of a guarded account, kept from other writers until the transaction ends.
select lock_balance($1, $2);

-- name: debt_of
-- What is owed on account $1 in currency $2: debits less credits.
select coalesce((select sum(amount) from transfer where debit = $1 and asset = $2), 0)::bigint
    - coalesce((select sum(amount) from transfer where credit = $1 and asset = $2), 0)::bigint;

-- name: find_chargeback
-- A chargeback by its psp's name for it.
select *
from chargeback
where psp = $1
and psp_ref = $2;

-- name: open_chargeback
-- A new chargeback; no row comes back when it is known.
insert into chargeback (
    id, psp, psp_ref, payment_ref, payment_id, driver_id, session_id, amount_minor, currency, from_balance_minor,
    to_debt_minor, opened_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
on conflict (psp, psp_ref) do nothing
returning id;

-- name: end_chargeback
-- The end of an open chargeback; no row comes back when it had ended.
update chargeback
set state = $2, ended_at = $3
where id = $1
and state = 'opened'
returning id;

-- name: list_chargebacks
-- Chargebacks, the newest first, narrowed by state and driver; goes on below ($2, $3).
select *
from chargeback
where (opened_at, id) < ($2::timestamptz, $3::uuid)
and ($4::text is null or state = $4)
and ($5::text is null or driver_id = $5)
order by opened_at desc, id desc
limit $1;

-- name: recover_disputed
-- What the failed refunds $1 gave back is recovered where a chargeback had found too little left of their payments.
select recover_disputed($1);
