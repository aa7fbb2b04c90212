-- When cabinets were away: nobody pays a late fee for minutes in which nothing could be brought back.

create table station_outage (
    station_id text not null references station,
    from_at timestamptz not null,
    until_at timestamptz check (until_at >= from_at),
    primary key (station_id, from_at)
);
create unique index station_outage_now on station_outage (station_id) where until_at is null;
select guard('station_outage', 'exists (select from station s where s.id = station_outage.station_id)', null);
