-- What gifts released, their funders have paid: the operator from `operator:campaigns`, a provider from its own account.
-- What a bill that was taken back had released has gone back to them.
with released as (
    select v.funded_by, v.currency, sum(u.minor) as minor
    from voucher v
    join voucher_use u on u.voucher_id = v.id
    where v.funded_by is not null
    group by v.funded_by, v.currency),
paid as (
    select m.funded_by, t.asset as currency, sum(m.minor) as minor
    from transfer t
    cross join lateral (values (t.debit, t.amount, t.credit), (t.credit, -t.amount, t.debit)) m (funded_by, minor, other)
    where m.other like 'voucher:%:deferred'
    and (m.funded_by = 'operator:campaigns' or m.funded_by like 'provider:%:payable')
    group by m.funded_by, t.asset)
select funded_by, currency, r.minor as released_minor, p.minor as paid_minor
from released r
full join paid p using (funded_by, currency)
where coalesce(r.minor, 0) <> coalesce(p.minor, 0)
