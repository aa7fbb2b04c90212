-- A guarded account stores the sum of its transfers.
select address, asset, coalesce(g.balance, 0) as stored, coalesce(e.balance, 0) as moved
from guarded_account g
full join (
    select address, asset, balance
    from account_balance
    where guarded(address)) e using (address, asset)
where coalesce(g.balance, 0) <> coalesce(e.balance, 0)
