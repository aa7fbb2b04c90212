-- A voucher gave what its uses took: its units and its money are what is left on its accounts, nothing once given back.
select v.id as voucher, v.state, v.total, v.used, u.units as by_uses, coalesce(left_units.balance, 0) as units_left,
    v.price_minor, v.released_minor, u.minor as released_by_uses, coalesce(deferred.balance, 0) as deferred_minor
from voucher v
cross join lateral (
    select coalesce(sum(units), 0) as units, coalesce(sum(minor), 0) as minor
    from voucher_use
    where voucher_use.voucher_id = v.id) u
left join guarded_account left_units
    on left_units.address = 'voucher:' || v.id || ':' || v.unit
    and left_units.asset = case v.unit when 'wh' then 'XWH' when 'sec' then 'XSE' when 'cnt' then 'XCT' else 'XVL' end
left join guarded_account deferred
    on deferred.address = 'voucher:' || v.id || ':deferred'
    and deferred.asset = v.currency
where v.used <> u.units
or v.released_minor <> u.minor
or coalesce(left_units.balance, 0) <> case v.state when 'active' then v.total - v.used else 0 end
or coalesce(deferred.balance, 0) <> case
    when v.state = 'active' and v.funded_by is null then v.price_minor - v.released_minor
    else 0 end
union all
select split_part(g.address, ':', 2)::uuid, 'no voucher', null, null, null, g.balance, null, null, null, null
from guarded_account g
where g.address like 'voucher:%'
and not exists (select from voucher v where v.id = split_part(g.address, ':', 2)::uuid)
