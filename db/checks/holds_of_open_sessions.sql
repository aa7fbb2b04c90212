-- Money is set aside for open sessions only, and for those who pay from their balance it is what the session says.
with held as (
    select address, asset, balance
    from guarded_account
    where address like 'session:%:held'),
open_sessions as (
    select 'session:' || id::text || ':held' as address, currency as asset, state,
        case when means = 'balance' and state <> 'invalid' then hold_minor else 0 end as balance
    from session
    where state in ('pending', 'active', 'incomplete', 'review'))
select address, asset, coalesce(h.balance, 0) as held, coalesce(s.balance, 0) as should_be, s.state
from held h
full join open_sessions s using (address, asset)
where coalesce(h.balance, 0) <> coalesce(s.balance, 0)
