-- What went back of a payment, or is on its way, is its refunds that have not failed and what chargebacks took of it.
select p.id as payment, p.psp, p.psp_ref, p.refunded_minor, r.minor as refunds, c.minor as chargebacks
from payment p
cross join lateral (
    select coalesce(sum(r.amount_minor), 0) as minor
    from refund r
    where r.payment_id = p.id
    and r.state <> 'failed') r
cross join lateral (
    select coalesce(sum(c.from_balance_minor + c.to_debt_minor), 0) as minor
    from chargeback c
    where c.payment_id = p.id
    and c.state <> 'won') c
where p.refunded_minor <> r.minor + c.minor
