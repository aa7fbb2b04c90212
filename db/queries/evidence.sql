-- name: save_evidence
-- Signed values and energy that belongs to no session, beside what save() writes and in its transaction.
select save_evidence($1, $2);

-- name: taken_signed_values
-- Of the signed values with the digests $1 those that were a session's begin or end. What came for a session that was
-- over was neither: a begin that is sent before its start finds the session before.
select distinct on (v.digest) v.digest, v.session_id
from signed_value v
join session s on s.id = v.session_id and s.station_id = v.station_id
where v.digest = any ($1::bytea[])
and v.verdict = 'valid'
and v.context <> 'other'
and v.received_at <= coalesce(s.closed_at, 'infinity')
order by v.digest, v.received_at;

-- name: list_gaps
-- Energy between the end of one session and the start of the next at its connector, of sessions opened since $1 (Q-M08).
insert into unattributed_energy as u (station_id, connector, from_wh, to_wh, after_session, before_session, at)
select distinct on (station_id, connector, from_wh)
    station_id, connector, from_wh, to_wh, after_session, before_session, at
from (
    select s.station_id, s.connector, s.id as before_session, s.started_at as at, s.meter_start_wh as to_wh,
        lag(s.id) over same as after_session,
        lag(s.meter_end_wh) over same as from_wh,
        lag(s.state) over same as state_before
    from session s
    where s.opened_at >= $1
    and s.connector is not null
    and s.started_at is not null
    window same as (partition by s.station_id, s.connector order by s.started_at, s.id)) g
where to_wh > from_wh
and state_before in ('completed', 'review', 'invalid')
order by station_id, connector, from_wh, at
on conflict (station_id, connector, from_wh) do update
set to_wh = excluded.to_wh,
    before_session = excluded.before_session,
    at = excluded.at
where u.before_session is null;

-- name: show_signed_values
-- What the meter of a session signed, verbatim.
select session_id, context, station_id, connector, at, encoding, raw, verdict, reason, register_wh, received_at
from signed_value
where session_id = $1
order by at, context;

-- name: add_meter_key
-- Registers a meter's public key; the same key again is the same row.
insert into meter_key (id, station_id, connector, public_key, curve, meter_serial, created_at, created_by)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (station_id, connector, public_key) do nothing
returning id;

-- name: list_meter_keys
-- The keys of a station's meters.
select id, station_id, connector, public_key, curve, meter_serial, created_at, created_by
from meter_key
where station_id = $1
order by connector, created_at, id;

-- name: find_meter_key
-- One key of a station by its text.
select id, station_id, connector, public_key, curve, meter_serial, created_at, created_by
from meter_key
where station_id = $1
and connector = $2
and public_key = $3;

-- name: remove_meter_key
-- Takes a key back; what it verified stays as it was judged.
delete from meter_key
where station_id = $1
and id = $2
returning id;

-- name: station_is_charging
-- Whether a session runs at a station: then it is left alone.
select exists (
    select
    from session
    where station_id = $1
    and use = 'charge'
    and opened_at >= $2
    and ended_at is null
    and state in ('pending', 'active', 'provisional'));

-- name: note_setup
-- What came of setting a station up.
insert into station_setup (station_id, protocol, outcome, settings, at)
values ($1, $2, $3, $4, $5)
on conflict (station_id) do update
set protocol = excluded.protocol, outcome = excluded.outcome, settings = excluded.settings, at = excluded.at;

-- name: silent_sessions
-- Sessions that nothing is heard of although their connector is free, has a newer session, or its station booted since
-- (Q-T13, Q-T02). $1 now; $2 nothing heard since; $3 opened since; $4 how many. Of several reasons the surest is told.
select s.station_id, s.ref,
    case
        when newer.id is not null then 'newer_session'
        when boot.at is not null then 'station_booted'
        else 'connector_available'
    end as why
from session s
left join connector c on c.station_id = s.station_id and c.number = s.connector
cross join lateral (
    select greatest(s.opened_at, s.started_at, max(r.at)) as at
    from reading r
    where r.day = s.day
    and r.session_id = s.id
    and r.at <= $1) heard
left join lateral (
    select n.id
    from session n
    where n.station_id = s.station_id
    and n.opened_at > s.opened_at
    and n.connector = s.connector
    and n.started_at > s.started_at
    and n.state <> 'invalid'
    limit 1) newer on true
left join lateral (
    select b.at from station_boot b where b.station_id = s.station_id and b.at > heard.at limit 1) boot on true
where s.opened_at >= $3
and s.opened_at < $2
and s.state = 'active'
and s.use = 'charge'
and s.started_at is not null
and s.ended_at is null
and heard.at < $2
and (newer.id is not null
    or boot.at is not null
    or (c.status = 'available' and c.status_at > heard.at and c.status_at < $2))
order by s.opened_at, s.id
limit $4;

-- name: finished_provisionals
-- Sessions that ended for want of news before $1 and whose own end never came. $2 opened since; $3 how many.
select station_id, ref
from session
where opened_at >= $2
and state = 'provisional'
and closed_at < $1
order by opened_at, id
limit $3;

-- name: station_epoch
-- Where the newest connection of a station listens; null for a station that is not there, or not one's own.
select epoch
from station
where id = $1;

-- name: keys_of_session
-- The public keys of the meter that a session was measured by.
select k.public_key
from session s
join meter_key k on k.station_id = s.station_id
where s.id = $1
and k.connector in (0, s.connector)
order by k.connector desc, k.created_at;
