-- An item is with a driver if and only if a rental says so, and in one place only.
select i.code as item, i.place, r.id as rental, r.state
from item i
left join rental r on r.id = i.rental_id
where i.place = 'driver'
and (r.id is null or r.state in ('requested', 'refused', 'cancelled'))
union all
select i.code, 'two items', null, i.station_id || '/' || i.unit
from item i
join item other on other.station_id = i.station_id and other.unit = i.unit and other.code > i.code
where i.place = 'connector'
and other.place = 'connector'
union all
select r.item, 'two rentals', r.id, r.state
from rental r
join rental other on other.item = r.item and other.id > r.id
where r.state in ('opening', 'active', 'returning', 'overdue', 'provisional')
and other.state in ('opening', 'active', 'returning', 'overdue', 'provisional')
