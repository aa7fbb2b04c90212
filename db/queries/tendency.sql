-- How drivers use stations: bills become segments, segments a tendency, tendencies cohorts. Rules: domain/tendency.py.

-- name: lock_tendency_mark
-- Where the work stands, kept from other workers until the transaction ends; no row comes back while one has it.
select era, xid, night, reached
from tendency_mark
for update skip locked;

-- name: next_tendency_bound
-- Up to where about $3 bills from ($1, $2) on can be read now: all transactions before it have ended. `is_more`: there
-- may be bills after it that can be read, too.
select b.era, b.xid,
    (b.era, b.xid) < ((select max(e.era) from cluster_era e), pg_snapshot_xmin(pg_current_snapshot())) as is_more
from next_mark(row('bill', $1::smallint, $2::xid8)::sum_mark, $3) b;

-- name: move_tendency_mark
-- Bills before ($1, $2) are segments.
update tendency_mark
set era = $1, xid = $2;

-- name: sessions_to_segment
-- Charging sessions with a bill from ($1, $2) to before ($3, $4) as their newest charges say, with their readings by
-- time. None of drivers who do not want it kept or had it forgotten since, nor of sessions that began before $5.
with billed as (
    select distinct session_id
    from bill
    where (era, xid) >= ($1::smallint, $2::xid8)
    and (era, xid) < ($3::smallint, $4::xid8)
    and driver_id is not null
    and started_at >= $5::timestamptz)
select b.session_id, b.driver_id, b.station_id, b.started_at, b.seconds, b.energy_wh, s.meter_start_wh, s.time_zone,
    t.document::text as tariff,
    array(
        select row(r.at, r.digest, r.register_wh, r.power_w)
        from reading r
        where r.day = s.day
        and r.session_id = s.id
        order by r.at, r.digest) as series
from billed n
cross join lateral (
    select *
    from bill
    where bill.session_id = n.session_id
    and kind = 'charge'
    order by revision desc
    limit 1) b
join session s on s.id = b.session_id and s.station_id = b.station_id and s.use = 'charge'
join driver d on d.id = b.driver_id and d.keeps_tendency and d.erased_at is null
    and (d.tendency_since is null or b.started_at >= d.tendency_since)
left join tariff t on t.id = b.tariff_id and t.version = b.tariff_version;

-- name: lock_drivers_to_keep
-- Of the drivers $1 those of whom it may be kept, and since when; until the transaction ends they are not forgotten.
select id, tendency_since
from driver
where id = any ($1::text[])
and keeps_tendency
and erased_at is null
order by id
for key share;

-- name: remove_segments
-- Takes away what was kept of the sessions $1, by any of their bills.
delete from usage_segment u
using bill b
where b.session_id = any ($1::uuid[])
and b.kind = 'charge'
and u.driver_id = b.driver_id
and u.session_id = b.session_id
and u.at >= b.started_at
and u.at <= b.started_at + b.seconds * interval '1 second';

-- name: add_segments
-- Segments, as columns; one that is there stays.
insert into usage_segment (driver_id, at, session_id, station_id, wh, seconds, cheap)
select *
from unnest($1::text[], $2::timestamptz[], $3::uuid[], $4::text[], $5::integer[], $6::integer[], $7::boolean[])
on conflict do nothing;

-- name: compute_tendency
-- The tendency at $2 of the drivers $1, as domain/tendency.py says; its version grows where anything has changed, and it
-- goes where there is nothing any more. The drivers are locked before, by `lock_drivers_to_keep`.
-- Driver by driver within one statement: joins of sums of many drivers would be guessed wrongly, and take their square.
with who as (
    select id, greatest(tendency_since, $2::timestamptz - interval '56 days') as since
    from driver
    where id = any ($1::text[])
    and keeps_tendency
    and erased_at is null),
fresh as (
    select w.id, f.*
    from who w
    cross join lateral (
        with segment as materialized (
            select u.session_id, u.station_id, u.at, u.wh, u.seconds, u.cheap, coalesce(site.id, '') as site_id,
                coalesce(site.region, 'any') as region,
                case when date_part('isodow', l.local) >= 6 then 7 else 1 end
                    + date_part('hour', l.local)::integer / 4 as band,
                case
                    when u.seconds = 0 then 0
                    when u.wh::bigint * 3600 < 7400::bigint * u.seconds then 1
                    when u.wh::bigint * 3600 <= 22000::bigint * u.seconds then 2
                    else 3
                end as power
            from usage_segment u
            left join station s on s.id = u.station_id
            left join site on site.id = s.site_id
            cross join lateral (select u.at at time zone coalesce(site.time_zone, 'UTC') as local) l
            where u.driver_id = w.id
            and u.at > $2::timestamptz - interval '56 days'
            and u.at <= $2::timestamptz),
        total as (
            select sum(wh) as wh, max(floor(date_part('epoch', $2::timestamptz - at) / 604800))::integer + 1 as weeks,
                array[
                    coalesce(sum(wh) filter (where power = 1), 0), coalesce(sum(wh) filter (where power = 2), 0),
                    coalesce(sum(wh) filter (where power = 3), 0)] as power_wh,
                coalesce(sum(wh) filter (where cheap), 0) as cheap_wh,
                coalesce(sum(wh) filter (where cheap is not null), 0) as priced_wh
            from segment),
        of_bands as (
            select array_agg(coalesce(b.wh, 0) order by n) as bands_wh
            from generate_series(1, 12) n
            left join (select band, sum(wh) as wh from segment group by band) b on b.band = n),
        per_session as (
            select sum(wh) as wh, sum(seconds) as seconds,
                floor(date_part('epoch', $2::timestamptz - min(at)) / 604800)::integer as week
            from segment
            group by session_id),
        of_sessions as (
            select count(*) as sessions,
                percentile_disc(array[0.25, 0.5, 0.75]) within group (order by wh) as session_wh,
                percentile_disc(array[0.25, 0.5, 0.75]) within group (order by seconds) as session_s
            from per_session),
        of_weeks as (
            select div(sum(coalesce(p.wh, 0)), count(*)) as week_wh_mean,
                percentile_disc(0.5) within group (order by coalesce(p.wh, 0)) as week_wh_median
            from generate_series(0, (select weeks from total) - 1) n
            left join (select week, sum(wh) as wh from per_session group by week) p on p.week = n),
        per_station as (
            select station_id, site_id, region, sum(wh) as wh
            from segment
            group by station_id, site_id, region),
        of_stations as (
            select count(*) as station_count,
                (array_agg(station_id order by wh desc, station_id collate "C"))[1:5] as stations,
                (array_agg(wh order by wh desc, station_id collate "C"))[1:5] as stations_wh,
                round(abs(coalesce(sum(share * ln(share) / ln(2::float8) order by share) filter (where share > 0), 0)
                    )::numeric, 3) as entropy
            from (select station_id, wh, wh::float8 / nullif(sum(wh) over (), 0)::float8 as share from per_station) p),
        of_sites as (
            select region
            from per_station
            group by site_id, region
            order by sum(wh) desc, site_id collate "C"
            limit 1)
        select s.sessions, t.weeks, t.wh, m.week_wh_mean, m.week_wh_median, b.bands_wh, s.session_wh, s.session_s,
            p.stations, p.stations_wh, p.station_count, p.entropy, t.power_wh, t.cheap_wh, t.priced_wh,
            (
                select count(*)
                from rental r
                join item i on i.code = r.item
                where r.driver_id = w.id
                and r.requested_at > w.since
                and r.requested_at <= $2::timestamptz
                and r.taken_at is not null
                and i.kind = 'battery') as swaps,
            o.region,
            case
                when t.weeks >= 8 and s.sessions >= 12 then 'high'
                when t.weeks >= 2 and s.sessions >= 4 then 'medium'
                else 'low'
            end as confidence
        from total t, of_bands b, of_sessions s, of_weeks m, of_stations p, of_sites o) f),
gone as (
    delete from tendency
    where driver_id = any ($1::text[])
    and driver_id not in (select id from fresh))
insert into tendency as t (driver_id, version, computed_at, sessions, weeks, wh, week_wh_mean, week_wh_median, bands_wh,
    session_wh, session_s, stations, stations_wh, station_count, entropy, power_wh, cheap_wh, priced_wh, swaps, region,
    confidence)
select id, 1, $2::timestamptz, sessions, weeks, wh, week_wh_mean, week_wh_median, bands_wh, session_wh, session_s,
    stations, stations_wh, station_count, entropy, power_wh, cheap_wh, priced_wh, swaps, region, confidence
from fresh
on conflict (driver_id) do update
set version = t.version + 1, computed_at = excluded.computed_at, sessions = excluded.sessions, weeks = excluded.weeks,
    wh = excluded.wh, week_wh_mean = excluded.week_wh_mean, week_wh_median = excluded.week_wh_median,
    bands_wh = excluded.bands_wh, session_wh = excluded.session_wh, session_s = excluded.session_s,
    stations = excluded.stations, stations_wh = excluded.stations_wh, station_count = excluded.station_count,
    entropy = excluded.entropy, power_wh = excluded.power_wh, cheap_wh = excluded.cheap_wh,
    priced_wh = excluded.priced_wh, swaps = excluded.swaps, region = excluded.region, confidence = excluded.confidence
where (t.sessions, t.weeks, t.wh, t.week_wh_mean, t.week_wh_median, t.bands_wh, t.session_wh, t.session_s, t.stations,
    t.stations_wh, t.station_count, t.entropy, t.power_wh, t.cheap_wh, t.priced_wh, t.swaps, t.region, t.confidence)
    is distinct from (excluded.sessions, excluded.weeks, excluded.wh, excluded.week_wh_mean, excluded.week_wh_median,
    excluded.bands_wh, excluded.session_wh, excluded.session_s, excluded.stations, excluded.stations_wh,
    excluded.station_count, excluded.entropy, excluded.power_wh, excluded.cheap_wh, excluded.priced_wh, excluded.swaps,
    excluded.region, excluded.confidence);

-- name: tendency_night
-- The night that has begun at $1, as a day: nights begin at 3 h by the clock of most sites, or UTC.
select (($1::timestamptz at time zone coalesce((
    select time_zone
    from site
    group by time_zone
    order by count(*) desc, time_zone
    limit 1), 'UTC')) - interval '3 hours')::date;

-- name: drivers_after
-- The next $2 drivers by id.
select id
from driver
where id > $1
order by id
limit $2;

-- name: reach_driver
-- How far the work of a night has come.
update tendency_mark
set reached = $1;

-- name: end_night
-- The work of the night $1 is done.
update tendency_mark
set night = $1, reached = null;

-- name: drop_old_segments
-- Segments that began before $1 are kept no longer.
delete from usage_segment
where at < $1;

-- name: compute_cohorts
-- The cohorts at $1: by class of vehicle and region, of twenty drivers at least, the middle one by Wh a week, then id.
with ranked as (
    select coalesce(d.vehicle_class, 'any') as class, t.region, t.driver_id,
        row_number() over w as place, count(*) over (partition by coalesce(d.vehicle_class, 'any'), t.region) as drivers
    from tendency t
    join driver d on d.id = t.driver_id
    window w as (
        partition by coalesce(d.vehicle_class, 'any'), t.region order by t.week_wh_mean, t.driver_id collate "C")),
fresh as (
    select r.class, r.region, r.drivers, r.driver_id
    from ranked r
    join driver d on d.id = r.driver_id and d.keeps_tendency
    where r.drivers >= 20
    and r.place = (r.drivers + 1) / 2
    for key share of d),
gone as (
    delete from cohort c
    where not exists (select from fresh f where f.class = c.class and f.region = c.region))
insert into cohort (class, region, drivers, median_driver, computed_at)
select class, region, drivers, driver_id, $1
from fresh
order by class, region  -- so that all drivers are locked before the first row is, as where one is forgotten
on conflict (class, region) do update
set drivers = excluded.drivers, median_driver = excluded.median_driver, computed_at = excluded.computed_at;

-- name: drop_cohorts_of_forgotten
-- Cohorts whose middle driver was forgotten while they were computed.
delete from cohort c
where not exists (select from tendency t where t.driver_id = c.median_driver);

-- name: show_tendency
-- How a driver uses stations, as it was computed last.
select driver_id, version, computed_at, sessions, weeks, wh, week_wh_mean, week_wh_median, bands_wh, session_wh,
    session_s, stations, stations_wh, station_count, entropy, power_wh, cheap_wh, priced_wh, swaps, region, confidence
from tendency
where driver_id = $1;

-- name: list_segments
-- A driver's segments from after $2 until $3 by time, with site and zone of their stations.
select u.at, u.session_id, u.station_id, u.wh, u.seconds, u.cheap, site.id as site_id, site.time_zone as zone,
    site.region
from usage_segment u
left join station s on s.id = u.station_id
left join site on site.id = s.site_id
where u.driver_id = $1
and u.at > $2
and u.at <= $3
order by u.at, u.session_id;

-- name: show_cohort
-- The cohort of a driver: by the own class of vehicle, and region $2.
select c.class, c.region, c.drivers, c.median_driver, c.computed_at
from driver d
join cohort c on c.class = coalesce(d.vehicle_class, 'any') and c.region = $2
where d.id = $1;

-- name: lock_tendency_of
-- Whether a driver's tendency is kept; nothing is written of it until the transaction ends.
select keeps_tendency
from driver
where id = $1
for update;

-- name: forget_tendency
-- Deletes all that is kept of how a driver uses stations.
select forget_tendency($1);

-- name: begin_tendency
-- Whether it is kept from now on ($2), and only of sessions that begin at $3 or later.
update driver
set keeps_tendency = $2, tendency_since = $3
where id = $1;

-- name: keeps_tendency
-- Whether a driver's tendency is kept.
select keeps_tendency
from driver
where id = $1;
