-- What the held account of a session paid to each payee is what its bill says.
with paid as (
    select t.posting_id, t.debit, t.asset, sum(t.amount) filter (where t.credit = 'operator:fee') as operator_minor,
        sum(t.amount) filter (where t.credit like 'provider:%:payable') as provider_minor,
        min(t.credit) filter (where t.credit like 'provider:%:payable') as provider
    from transfer t
    where t.debit like 'session:%:held'
    group by t.posting_id, t.debit, t.asset)
select b.id as bill, b.session_id as session, b.currency, b.operator_minor, coalesce(paid.operator_minor, 0) as operator_got,
    b.provider_minor, coalesce(paid.provider_minor, 0) as provider_got
from bill b
left join posting p on p.key = 'session/' || b.session_id || '/settle'
left join paid on paid.posting_id = p.id and paid.debit = 'session:' || b.session_id || ':held' and paid.asset = b.currency
where b.revision = 1
and (b.operator_minor <> coalesce(paid.operator_minor, 0)
    or b.provider_minor <> coalesce(paid.provider_minor, 0)
    or paid.provider <> 'provider:' || b.provider_id || ':payable')
