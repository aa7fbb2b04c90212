-- A voucher was used at places that its conditions name, and one for a vehicle by what began with the token of that.
select v.id as voucher, u.session_id as session, s.station_id, s.site_id, s.site_tags, c.told as conditions
from voucher v
cross join lateral (select jsonb_strip_nulls(v.terms::jsonb -> 'conditions') as told) c
join voucher_use u on u.voucher_id = v.id
join session s on s.id = u.session_id
where (
    c.told ?| '{stations,sites,tags}'
    and not coalesce(c.told -> 'stations' ? s.station_id, false)
    and not coalesce(c.told -> 'sites' ? s.site_id, false)
    and not coalesce(c.told -> 'tags' ?| s.site_tags, false))
or (
    c.told ? 'vehicle'
    and coalesce(s.stands_for, s.token_key) is distinct from v.token_key
    and not exists (select from driver d where d.id = v.driver_id and d.erased_at is not null))
