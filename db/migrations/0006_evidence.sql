-- Evidence beside the readings: signed values and the keys that prove them, energy that no session paid for, boots.

-- The public keys of meters, as their owners gave them to us out of band. A key inside a message is never trusted.
create table meter_key (
    id uuid primary key,
    station_id text not null references station on delete cascade,
    connector integer not null check (connector between 0 and 9999),
    public_key text not null check (length(public_key) <= 4096),
    curve text not null,
    meter_serial text,
    created_at timestamptz not null,
    created_by text,
    unique (station_id, connector, public_key)
);
comment on column meter_key.connector is '0: the meter of the whole station, for every connector without keys of its own';
comment on column meter_key.public_key is 'base64 of its DER form (SubjectPublicKeyInfo)';

-- What a meter signed, verbatim, and what we made of it. One signed text may hold a begin and an end: then it is two rows.
create table signed_value (
    session_id uuid not null,
    context text not null check (context in ('begin', 'end', 'other')),
    digest bytea not null check (length(digest) = 32),
    station_id text not null,
    connector integer,
    at timestamptz not null,
    encoding text not null,
    raw text not null,
    verdict text not null check (verdict in ('valid', 'invalid', 'no_key', 'unreadable')),
    reason text,
    register_wh bigint,
    received_at timestamptz not null,
    primary key (session_id, context, digest)
);
comment on column signed_value.digest is 'SHA-256 of what is signed: reported again, however it is written down, it is the same row';
create index signed_value_digest on signed_value (digest);
comment on column signed_value.at is 'as the station reported it';
comment on column signed_value.register_wh is 'the register inside the signed text, in Wh; null where it could not be read';

-- Energy that a meter counted between two sessions: the provider's loss, or a sign of energy that flows unbilled (Q-M08).
create table unattributed_energy (
    station_id text not null,
    connector integer not null,
    from_wh bigint not null,
    to_wh bigint not null check (to_wh > from_wh),
    after_session uuid,
    before_session uuid,
    at timestamptz not null,
    primary key (station_id, connector, from_wh)
);
comment on column unattributed_energy.from_wh is 'the register at the end of after_session';
comment on column unattributed_energy.to_wh is 'the highest register seen before the next session, or that one began with';
comment on column unattributed_energy.before_session is 'the next session; null while none has begun';
comment on column unattributed_energy.at is 'when to_wh was read';
create index unattributed_energy_at on unattributed_energy (at);

-- Every boot of a station: where its registers may begin anew (Q-M05), after which what ran before runs no more (Q-T13).
create table station_boot (
    station_id text not null references station on delete cascade,
    at timestamptz not null,
    primary key (station_id, at)
);

create function note_boot() returns trigger language plpgsql as $$
begin
    insert into station_boot (station_id, at) values (new.id, new.booted_at) on conflict do nothing;
    return null;
end $$;
create trigger station_booted after update of booted_at on station
    for each row when (new.booted_at is not null) execute function note_boot();

-- What a station was asked after its first boot: which readings to send. Asked once, not at every boot (Q-M20).
create table station_setup (
    station_id text primary key references station on delete cascade,
    protocol text not null,
    outcome text not null check (outcome in ('done', 'refused')),
    settings jsonb not null default '{}',
    at timestamptz not null
);

create type signed_in as (
    session_id uuid, context text, digest bytea, station_id text, connector integer, at timestamptz, encoding text,
    raw text, verdict text, reason text, register_wh bigint, received_at timestamptz);
create type unattributed_in as (
    station_id text, connector integer, from_wh bigint, to_wh bigint, after_session uuid, before_session uuid,
    at timestamptz);

-- Adds to the evidence; repeats change nothing, and of one gap the highest register stands.
create function save_evidence(signed signed_in[], gaps unattributed_in[])
returns void language plpgsql as $$
begin
    if cardinality(signed) > 0 then
        insert into signed_value (
            session_id, context, digest, station_id, connector, at, encoding, raw, verdict, reason, register_wh,
            received_at)
        select * from unnest(signed)
        on conflict (session_id, context, digest) do nothing;
    end if;

    if cardinality(gaps) > 0 then
        insert into unattributed_energy as u (
            station_id, connector, from_wh, to_wh, after_session, before_session, at)
        select distinct on (g.station_id, g.connector, g.from_wh) g.*
        from unnest(gaps) g
        order by g.station_id, g.connector, g.from_wh, g.before_session nulls last, g.to_wh desc
        on conflict (station_id, connector, from_wh) do update
        set to_wh = excluded.to_wh,
            before_session = coalesce(u.before_session, excluded.before_session),
            at = excluded.at
        where u.before_session is null
        and (excluded.before_session is not null or excluded.to_wh > u.to_wh);
    end if;
end $$;
