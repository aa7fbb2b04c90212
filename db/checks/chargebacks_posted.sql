-- What is on the account of chargebacks is what psps took and drivers did not bear; those that were won are not on it.
with kept as (
    select currency as asset, -sum(amount_minor - from_balance_minor - to_debt_minor) as minor
    from chargeback
    where state <> 'won'
    group by currency)
select asset, coalesce(k.minor, 0) as kept, coalesce(b.balance, 0) as balance
from kept k
full join (select asset, balance from account_balance where address = 'chargeback') b using (asset)
where coalesce(k.minor, 0) <> coalesce(b.balance, 0)
