-- Vehicles, what they are offered, and the history by which that is chosen.

-- name: list_usage_segments
-- A driver's quarters of an hour from $2 to $3, session by session; `since`: when the very first one was. A session that
-- began before $2 is none of them.
select u.session_id, u.station_id, u.at, u.wh, u.seconds,
    (select min(f.at) from usage_segment f where f.driver_id = $1) as since
from (
    select session_id, station_id, at, wh, seconds
    from usage_segment
    where driver_id = $1
    and at >= $2
    and at < $3
    order by at desc
    limit $4) u
where not exists (
    select from usage_segment e
    where e.driver_id = $1
    and e.session_id = u.session_id
    and e.at >= $2::timestamptz - interval '1 hour'
    and e.at < $2)
order by u.session_id, u.at;

-- name: list_tariffs_of_stations
-- What is asked at these stations now ($2), whose they are, and the zone of their site.
select s.id, s.site_id, s.provider_id, site.time_zone, t.document::text as document
from station s
join lateral (
    select t.document
    from tariff t
    where t.id = s.tariff_id
    and (t.valid_from is null or t.valid_from <= $2)
    and (t.valid_until is null or t.valid_until > $2)
    order by t.version desc
    limit 1) t on true
left join site on site.id = s.site_id
where s.id = any ($1::text[]);
