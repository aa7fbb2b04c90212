-- A bill whose settlement message was confirmed has its shares paid, each once and in full, and no other has.
-- A host's share is paid to the operator's account, together with the operator's.
with jobs as (
    select split_part(o.subject, '/', 2) as session
    from outbox o
    where o.kind = 'psp.settle'
    and o.state = 'done'
    and o.result ->> 'by' is distinct from 'run'),
paid as (
    select r.bill_id, sum(r.amount_minor) filter (where r.payee = 'operator') as operator_minor,
        sum(r.amount_minor) filter (where r.payee like 'provider:%') as provider_minor
    from remittance_item r
    where r.state = 'paid'
    group by r.bill_id)
select b.id as bill, b.session_id as session, j.session is not null as confirmed,
    b.operator_minor + b.host_minor as to_operator_minor, p.operator_minor as operator_paid,
    b.provider_minor, p.provider_minor as provider_paid
from bill b
left join jobs j on j.session = b.session_id::text
left join paid p on p.bill_id = b.id
where b.shares_by = 'psp'
and b.kind = 'charge'
and not exists (
    select from bill credit where credit.corrects = b.id and credit.shares_by = 'psp')
and (coalesce(p.operator_minor, 0), coalesce(p.provider_minor, 0)) is distinct from
    (case when j.session is null then 0 else b.operator_minor + b.host_minor end,
     case when j.session is null then 0 else b.provider_minor end)
