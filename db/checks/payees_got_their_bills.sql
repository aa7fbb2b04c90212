-- What payees got from sessions, less what they returned, is the sum of their bills: nobody was paid without one.
with billed as (
    select 'provider:' || provider_id || ':payable' as address, currency as asset, sum(provider_minor) as minor
    from bill
    group by 1, 2
    union all
    select 'operator:fee', currency, sum(operator_minor)
    from bill
    group by 2
    union all
    select 'site:' || site_id || ':payable', currency, sum(host_minor)
    from bill
    where host_minor <> 0
    group by 1, 2),
moved as (
    select credit as address, asset, amount
    from transfer
    where debit like 'session:%:held'
    union all
    select debit, asset, -amount
    from transfer
    where credit like 'session:%:held'),
got as (
    select address, asset, sum(amount) as minor
    from moved
    where address = 'operator:fee'
    or address like 'provider:%:payable'
    or address like 'site:%:payable'
    group by 1, 2)
select address, asset, coalesce(b.minor, 0) as billed, coalesce(g.minor, 0) as got
from billed b
full join got g using (address, asset)
where coalesce(b.minor, 0) <> coalesce(g.minor, 0)
