-- What gifts released, their funders have paid: the operator from `operator:campaigns`, a provider from its own account.
with released as (
    select v.funded_by, v.currency, sum(u.minor) as minor
    from voucher v
    join voucher_use u on u.voucher_id = v.id
    where v.funded_by is not null
    and u.minor > 0
    group by v.funded_by, v.currency),
paid as (
    select debit as funded_by, asset as currency, sum(amount) as minor
    from transfer
    where debit = 'operator:campaigns'
    or debit like 'provider:%:payable' and credit like 'voucher:%:deferred'
    group by debit, asset)
select funded_by, currency, r.minor as released_minor, p.minor as paid_minor
from released r
full join paid p using (funded_by, currency)
where r.minor is distinct from p.minor
