-- When cabinets were away: nobody pays a late fee for minutes in which nothing could be brought back.

create table station_outage (
    station_id text not null references station,
    from_at timestamptz not null,
    until_at timestamptz check (until_at >= from_at),
    primary key (station_id, from_at)
);
create unique index station_outage_now on station_outage (station_id) where until_at is null;
select guard('station_outage', 'exists (select from station s where s.id = station_outage.station_id)', null);

-- The seconds of [since, now] for which a station was away.
create function away_s(station text, since timestamptz, now_ timestamptz) returns integer stable language sql as $$
    select coalesce(sum(greatest(0, extract(epoch from
        least(coalesce(o.until_at, now_), now_) - greatest(o.from_at, since)))), 0)::integer
    from station_outage o
    where o.station_id = station
    and o.from_at < now_
    and (o.until_at is null or o.until_at > since)
$$;

-- The seconds after its time and grace for which a rental's cabinet was away, as of `now_`.
create function rental_outage_s(r rental, now_ timestamptz) returns integer stable language sql as $$
    select case
        when r.due_at is null or r.closed_at is not null or r.due_at > now_ then r.outage_s
        else greatest(r.outage_s, away_s(
            r.station_id,
            r.due_at + make_interval(secs => coalesce((
                select (t.document->'extra'->>'grace')::double precision
                from session s
                join tariff t on t.id = s.tariff_id and t.version = s.tariff_version
                where s.station_id = r.station_id and s.id = r.id), 1800)),
            now_)) end
$$;
