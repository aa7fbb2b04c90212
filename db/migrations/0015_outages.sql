-- When cabinets were away: nobody pays a late fee for minutes in which nothing could be brought back.

create table station_outage (
    station_id text not null references station,
    from_at timestamptz not null,
    until_at timestamptz check (until_at >= from_at),
    primary key (station_id, from_at)
);
create unique index station_outage_now on station_outage (station_id) where until_at is null;
select guard('station_outage', 'exists (select from station s where s.id = station_outage.station_id)', null);

-- One row: when the system was last seen to run, so that a start knows since when no cabinet was connected to it.
create table system_alive (
    only_row boolean primary key default true check (only_row),
    at timestamptz not null
) with (fillfactor = 50);
select guard('system_alive', null, null);
