-- What is owed back through a psp and not confirmed is its pending refunds, and the rests of payments not yet begun.
with owed as (
    select r.psp, r.currency, sum(r.amount_minor) as minor
    from refund r
    where r.state = 'pending'
    group by r.psp, r.currency
    union all
    select a.psp, a.currency, sum((o.payload ->> 'minor')::bigint)
    from outbox o
    join psp_authorization a on a.id = (o.payload ->> 'authorization')::uuid
    where o.kind = 'psp.refund_rest'
    and o.state <> 'done'
    and not exists (
        select from refund begun
        where begun.session_id = (o.payload ->> 'session')::uuid
        and begun.reason = 'rest')
    group by a.psp, a.currency),
expected as (
    select psp, currency, sum(minor) as minor
    from owed
    group by psp, currency),
stands as (
    select split_part(b.address, ':', 2) as psp, b.asset as currency, b.balance as minor
    from account_balance b
    where b.address like 'psp:%:refunds')
select psp, currency, s.minor as on_the_account, e.minor as on_their_way
from stands s
full join expected e using (psp, currency)
where coalesce(s.minor, 0) <> coalesce(e.minor, 0)
