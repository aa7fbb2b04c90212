-- A rental ends by one swap at most: what was taken from its pack is billed once.
select k.id as rental, count(*) as swaps, array_agg(w.id order by w.opened_at, w.id) as swap_ids
from swap w
cross join unnest(w.rentals_in) k (id)
where k.id is not null
and w.state not in ('returned', 'aborted')
group by k.id
having count(*) > 1
