-- Money is set aside for open sessions only, and it is what the session says: where the balance pays, or was paid before.
-- A provisional end has taken its fee of it, but for what vouchers released, and keeps the rest.
with held as (
    select address, asset, balance
    from guarded_account
    where address like 'session:%:held'),
open_sessions as (
    select 'session:' || id::text || ':held' as address, currency as asset, state,
        case
            when state = 'invalid' then 0
            when means = 'psp' and policy is distinct from 'pay_before_refund_rest' then 0
            when state = 'provisional' then greatest(0, hold_minor - (fee_minor - drawn_minor))
            else hold_minor end as balance
    from session
    where state in ('pending', 'active', 'incomplete', 'provisional', 'review')
    and means is not null)
select address, asset, coalesce(h.balance, 0) as held, coalesce(s.balance, 0) as should_be, s.state
from held h
full join open_sessions s using (address, asset)
where coalesce(h.balance, 0) <> coalesce(s.balance, 0)
