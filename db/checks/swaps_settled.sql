-- A swap goes on or has ended, releases for rentals that wait or have their packs, and hands none out before the bill.
-- The newest swap tells the system's time: what was not looked at for an hour after its time is not under way any more.
with late as (
    select max(opened_at) - interval '1 hour' as at
    from swap)
select w.id as swap, w.state, w.ended_at, null::uuid as rental, 'over, and has not ended; or the reverse' as wrong
from swap w
where w.state <> 'orphaned'
and (w.state in ('completed', 'returned', 'aborted')) <> (w.ended_at is not null)
union all
select w.id, w.state, w.ended_at, null, 'releases nothing'
from swap w, late
where w.state = 'releasing'
and (w.checked_at is null or w.checked_at < late.at)
and not exists (
    select from unnest(w.rentals_out) k (id)
    join rental r on r.id = k.id
    where r.state in ('requested', 'opening', 'provisional')
    or r.taken_at is not null)
union all
select w.id, w.state, w.ended_at, k.id, 'completed, and a pack was neither taken nor given up'
from swap w
cross join unnest(w.rentals_out) k (id)
left join rental r on r.id = k.id
where w.state = 'completed'
and k.id is not null
and r.taken_at is null
and (r.id is null or r.state not in ('cancelled', 'refused') or w.reason is null)
union all
select w.id, w.state, w.ended_at, k.id, 'a pack was handed out before the bill'
from swap w
cross join unnest(w.rentals_in) k (id)
where w.state <> 'orphaned'
and k.id is not null
and exists (
    select from unnest(w.rentals_out) o (id)
    join rental r on r.id = o.id
    where r.taken_at is not null)
and not exists (select from bill b where b.session_id = k.id)
