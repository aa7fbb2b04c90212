-- What the held account of a session paid to each payee is what its charge says, and a credit brought as much back.
with moved as (
    select p.key, t.asset, case when t.debit like 'session:%:held' then t.credit else t.debit end as payee, t.amount
    from transfer t
    join posting p on p.id = t.posting_id
    where t.debit like 'session:%:held'
    or t.credit like 'session:%:held'),
paid as (
    select m.key, m.asset, sum(m.amount) filter (where m.payee = 'operator:fee') as operator_minor,
        sum(m.amount) filter (where m.payee like 'provider:%') as provider_minor,
        min(m.payee) filter (where m.payee like 'provider:%') as provider,
        sum(m.amount) filter (where m.payee like 'site:%') as host_minor,
        min(m.payee) filter (where m.payee like 'site:%') as host
    from moved m
    where m.payee = 'operator:fee'
    or m.payee like 'provider:%:payable'
    or m.payee like 'site:%:payable'
    group by m.key, m.asset)
select b.id as bill, b.session_id as session, b.currency, b.operator_minor, coalesce(paid.operator_minor, 0) as operator_got,
    b.provider_minor, coalesce(paid.provider_minor, 0) as provider_got, b.host_minor,
    coalesce(paid.host_minor, 0) as host_got
from bill b
left join paid
    on paid.asset = b.currency
    and paid.key = 'session/' || b.session_id || case
        when b.kind = 'credit' then '/reverse/' || b.revision
        when b.revision = 1 then '/settle'
        else '/settle/' || b.revision end
where abs(b.operator_minor) <> coalesce(paid.operator_minor, 0)
or abs(b.provider_minor) <> coalesce(paid.provider_minor, 0)
or abs(b.host_minor) <> coalesce(paid.host_minor, 0)
or paid.provider <> 'provider:' || b.provider_id || ':payable'
or paid.host is not null and paid.host is distinct from 'site:' || b.site_id || ':payable'
