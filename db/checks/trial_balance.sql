-- The books balance: what guarded accounts store and what moved on all others sums to zero per asset.
select asset, sum(balance) as off
from (
    select asset, balance
    from guarded_account
    union all
    select asset, balance
    from account_balance
    where not guarded(address)) balances
group by asset
having sum(balance) <> 0
