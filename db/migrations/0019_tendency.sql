-- How drivers use stations: what of each session flowed in which quarter of an hour. Vouchers are chosen by it.

create table usage_segment (
    driver_id text not null references driver,
    at timestamptz not null,
    session_id uuid not null,
    station_id text not null,
    wh integer not null check (wh >= 0),
    seconds integer not null check (seconds between 0 and 900),
    primary key (driver_id, at, session_id)
);
comment on table usage_segment is 'a quarter of an hour of a billed session: the driver, and nothing else about a person';
comment on column usage_segment.at is 'the beginning of the quarter, UTC; the first one of a session: its start';
comment on column usage_segment.seconds is 'of charging or standing, within this quarter';
select guard('usage_segment', 'false', 'driver_id = own_driver()');

-- Everything belongs to csms_owner (0011), also what was added since.
do $$
declare
    o record;
begin
    for o in
        select format('alter %s %s owner to csms_owner',
            case c.relkind when 'v' then 'view' when 'c' then 'type' else 'table' end, c.oid::regclass) as statement
        from pg_class c
        where c.relnamespace = current_schema()::regnamespace
        and c.relkind in ('r', 'p', 'v', 'c')
        and pg_get_userbyid(c.relowner) <> 'csms_owner'
        union all
        select format('alter function %s owner to csms_owner', p.oid::regprocedure)
        from pg_proc p
        where p.pronamespace = current_schema()::regnamespace
        and pg_get_userbyid(p.proowner) <> 'csms_owner'
        and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    loop
        execute o.statement;
    end loop;
end $$;
