-- What went back of a payment, or is on its way, is the sum of its refunds that have not failed.
select p.id as payment, p.psp, p.psp_ref, p.refunded_minor, coalesce(sum(r.amount_minor), 0) as refunds
from payment p
left join refund r on r.payment_id = p.id and r.state <> 'failed'
group by p.id
having p.refunded_minor <> coalesce(sum(r.amount_minor), 0)
