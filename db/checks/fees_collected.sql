-- A fee that a psp was to collect is posted once collected, and no fee is posted as collected that was not.
-- What was paid before the use is posted then, and never again; what vouchers paid is not collected.
with jobs as (
    select split_part(o.subject, '/', 2) as session, o.state, (o.payload ->> 'bill')::uuid as bill_id
    from outbox o
    where o.kind = 'psp.collect'),
posted as (
    select p.ref as session, sum(t.amount) as minor
    from posting p
    join transfer t on t.posting_id = p.id
    where p.kind = 'collected'
    and t.debit like 'psp:%:clearing'
    and t.credit like 'psp:%:receivable'
    group by p.ref)
select session, j.state as job, p.minor as collected, b.total_minor as billed
from jobs j
full join posted p using (session)
left join bill b on b.id = j.bill_id
left join session s on s.id = b.session_id
where ((j.state = 'done' and s.policy is distinct from 'pay_before_refund_rest') is distinct from (p.minor is not null))
or p.minor <> case when 'covered' = any (b.flags) then asked_minor(b) else b.total_minor end
