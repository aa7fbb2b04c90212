-- What the clock and the worker ask of doors, rentals and swaps, and when cabinets were away.

-- name: due_grants
-- Live grants that nobody used in time by $1: accepted and not opened for so long, or expired before $2; $3 how many,
-- but for $4.
select id, station_id
from door_grant
where state in ('issued', 'sent', 'accepted')
and case state
    when 'accepted' then issued_at <= $1::timestamptz - make_interval(secs => opening_s)
    else expires_at < $2 end
and id <> all ($4::uuid[])
limit $3;

-- name: due_doors
-- Doors that stand open since $1 and nobody was told, or since $2 and staff were not; $3 how many.
select station_id, unit
from door
where opened_at is not null
and (told < 1 and opened_at <= $1 or told < 2 and opened_at <= $2)
limit $3;

-- name: due_rentals
-- Rentals that the clock changes something about by $1; $2 how many, but for $3.
select id, station_id
from rental
where checked_at <= $1
and id <> all ($3::uuid[])
order by checked_at
limit $2;

-- name: due_swaps
-- Swaps that the clock changes something about by $1; $2 how many, but for $3.
select id, station_id
from swap
where checked_at <= $1
and id <> all ($3::uuid[])
order by checked_at
limit $2;

-- name: station_left
-- A cabinet's connection of epoch $2 ended at $3, and no newer one is there: it is away.
insert into station_outage (station_id, from_at)
select id, $3
from station
where id = $1
and epoch = $2
and kind <> 'charger'
on conflict do nothing;

-- name: stations_arrived
-- Cabinets $1 are here again since $2.
update station_outage
set until_at = greatest($2, from_at)
where station_id = any($1)
and until_at is null;

-- name: cabinets_away
-- A process starts at $1: no cabinet is connected to it, so all are away since it was last seen to run.
insert into station_outage (station_id, from_at)
select id, least($1, coalesce((select at from system_alive), $1))
from station
where kind <> 'charger'
on conflict do nothing;

-- name: note_alive
-- The system runs at $1.
insert into system_alive (at)
values ($1)
on conflict (only_row) do update
set at = greatest(system_alive.at, excluded.at);

-- name: sessions_at_item
-- The running sessions of a portable charger.
select id, ref, driver_id
from session
where station_id = $1
and state in ('pending', 'active')
and ended_at is null;

-- name: rental_to_remind
-- A rental that its driver is to be reminded of.
select r.id, r.state, r.item, r.provider_id, r.driver_id, r.station_id, r.taken_at, r.due_at, r.reminders
from rental r
where r.id = $1;

-- name: driver_of_rental
-- Whose rental it is.
select driver_id
from rental
where id = $1;
