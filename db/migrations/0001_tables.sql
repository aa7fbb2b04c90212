-- Parties, stations, drivers, uses and bills. The ledger is in 0002, the road's one write in 0003.
-- Times are the system's clock unless a column says `reported`. Energy is Wh, money minor units, shares basis points.

-- One row: what makes this installation itself. The pepper keys the HMACs of station credentials.
create table installation (
    only_row boolean primary key default true check (only_row),
    pepper bytea not null default decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'),
    created_at timestamptz not null default now()
);
insert into installation default values;

-- Parties -----------------------------------------------------------------------------------------------------------

create table provider (
    id text primary key check (id ~ '^[A-Za-z0-9._-]{1,48}$'),
    name text not null,
    psp_accounts jsonb not null default '{}',
    terms_version integer not null,
    created_at timestamptz not null
);
comment on column provider.psp_accounts is 'psp name -> the account there that receives the provider''s share';

-- How a fee is divided between this provider and the operator: versioned, because a use keeps the terms it began with.
create table provider_terms (
    provider_id text not null references provider deferrable initially deferred,
    version integer not null check (version > 0),
    operator_bp integer not null check (operator_bp between 0 and 10000),
    operator_fixed_minor bigint not null default 0 check (operator_fixed_minor >= 0),
    operator_min_minor bigint not null default 0 check (operator_min_minor >= 0),
    operator_max_minor bigint check (operator_max_minor >= operator_min_minor),
    created_at timestamptz not null,
    primary key (provider_id, version)
);
alter table provider
    add constraint provider_terms_exist foreign key (id, terms_version)
    references provider_terms deferrable initially deferred;

create table site (
    id text primary key check (id ~ '^[A-Za-z0-9._-]{1,48}$'),
    provider_id text not null references provider,
    name text not null,
    time_zone text not null,
    created_at timestamptz not null
);

-- Every version of every tariff, as the OCPI document that was sent; never changed.
create table tariff (
    id text not null check (id ~ '^[A-Za-z0-9._-]{1,48}$'),
    version integer not null check (version > 0),
    provider_id text references provider,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    document jsonb not null,
    hold_minor bigint not null check (hold_minor > 0),
    created_at timestamptz not null,
    primary key (id, version)
);
comment on column tariff.hold_minor is 'what is set aside when a use starts';

create table station (
    id text primary key check (id ~ '^[A-Za-z0-9*_=:+|@.-]{1,48}$'),
    kind text not null check (kind in ('charger', 'locker', 'battery_station')),
    provider_id text not null references provider,
    site_id text references site,
    tariff_id text,
    security_profile smallint not null default 1 check (security_profile between 0 and 3),
    credential bytea check (length(credential) = 32),
    strict boolean not null default false,
    assume_protocol text check (assume_protocol in ('ocpp1.6', 'ocpp2.0.1', 'ocpp2.1')),
    epoch bigint not null default 0,
    vendor text,
    model text,
    serial text,
    firmware text,
    protocol text,
    booted_at timestamptz,
    connected_at timestamptz,
    created_at timestamptz not null
) with (fillfactor = 70);
comment on column station.credential is 'HMAC-SHA256(pepper, canonical key)';
comment on column station.epoch is 'grows by one with every admitted connection; fences ownership and commands';
create index station_provider on station (provider_id);
create index station_site on station (site_id);

create table connector (
    station_id text not null references station,
    number integer not null check (number between 0 and 9999),
    kind text not null check (kind in ('station', 'outlet', 'portable', 'door', 'slot')),
    max_power_w integer check (max_power_w > 0),
    status text,
    error_code text,
    status_at timestamptz,
    primary key (station_id, number)
) with (fillfactor = 70);
comment on column connector.number is '1.6 connectorId, 2.x evseId, door or slot number; 0 is the station itself';

-- Drivers and their tokens ------------------------------------------------------------------------------------------

create table driver (
    id text primary key check (id ~ '^[A-Za-z0-9._-]{1,48}$'),
    name text,
    status text not null default 'active' check (status in ('active', 'blocked')),
    created_at timestamptz not null
);

-- The person behind an issuer's subject.
create table driver_identity (
    issuer text not null,
    subject text not null,
    driver_id text not null references driver,
    primary key (issuer, subject)
);

-- Everything a driver may hold to a station, found by the SHA-256 of its canonical text.
create table token (
    key bytea primary key check (length(key) = 32),
    value text,
    type text not null check (type in ('rfid', 'app', 'social', 'key_code', 'battery', 'remote')),
    status text not null default 'accepted' check (status in ('accepted', 'blocked', 'invalid')),
    driver_id text references driver,
    psp text,
    issuer text,
    subject text,
    station_id text references station,
    alias_of bytea references token,
    single_use boolean not null default false,
    session_id uuid,
    expires_at timestamptz,
    created_at timestamptz not null,
    check (driver_id is not null or (psp is not null and issuer is not null and subject is not null)),
    check (single_use or session_id is null)
) with (fillfactor = 80);
comment on column token.value is 'canonical text; null where only the hash may be kept (social aliases)';
comment on column token.psp is 'who pays; null means the driver''s balance';
comment on column token.session_id is 'the one session a single-use token was spent on';
create index token_driver on token (driver_id);

-- One ask of a psp: may this person start, for at most this much? Its id makes the psp's idempotency keys.
create table psp_authorization (
    id uuid primary key,
    station_id text not null references station,
    token_key bytea not null,
    psp text not null,
    policy text not null check (policy in ('hold_capture', 'charge_after')),
    issuer text not null,
    subject text not null,
    driver_id text references driver,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    state text not null check (state in
        ('asking', 'authorized', 'declined', 'timed_out', 'used', 'voiding', 'voided')),
    psp_ref text,
    reason text,
    session_id uuid,
    asked_at timestamptz not null,
    decided_at timestamptz,
    version integer not null
) with (fillfactor = 70);
create unique index psp_authorization_live on psp_authorization (station_id, token_key)
    where state in ('asking', 'authorized');
create index psp_authorization_open on psp_authorization (asked_at)
    where state in ('asking', 'authorized', 'timed_out', 'voiding');

-- Uses --------------------------------------------------------------------------------------------------------------

create table session (
    station_id text not null,
    id uuid not null,
    ref text not null check (length(ref) between 1 and 64),
    start_key text not null,
    version integer not null,
    state text not null check (state in
        ('pending', 'active', 'incomplete', 'completed', 'review', 'invalid')),
    day date not null,
    connector integer,
    max_power_w integer,
    provider_id text not null,
    site_id text,
    terms_version integer not null,
    tariff_id text,
    tariff_version integer,
    currency text,
    token_key bytea,
    token_masked text,
    driver_id text,
    means text check (means in ('balance', 'psp')),
    psp text,
    authorization_id uuid,
    hold_minor bigint not null default 0 check (hold_minor >= 0),
    offline boolean not null,
    started_at timestamptz,
    ended_at timestamptz,
    meter_start_wh bigint,
    meter_end_wh bigint,
    energy_wh bigint check (energy_wh >= 0),
    fee_minor bigint check (fee_minor >= 0),
    end_reason text,
    reason text,
    flags text[] not null default '{}',
    opened_at timestamptz not null,
    closed_at timestamptz,
    primary key (id, station_id),
    unique (station_id, ref),
    check (state <> 'completed' or (energy_wh is not null and fee_minor is not null and closed_at is not null))
) with (fillfactor = 60);
comment on column session.ref is 'the wire''s transaction id; looked up only together with the station';
comment on column session.start_key is 'what a retry of the start repeats; on 2.x the ref itself';
comment on column session.day is 'partition of its readings: the day of the first report';
comment on column session.started_at is 'as billed: the reported time where it is plausible, else the time of arrival';
-- No index names the state or anything else that changes, so that moving a session on touches none of them.
create unique index session_start_key on session (station_id, start_key) where start_key <> ref;
create index session_opened on session (opened_at, id);
create index session_authorization on session (authorization_id) where authorization_id is not null;

create table reading (
    day date not null,
    session_id uuid not null,
    at timestamptz not null,
    digest integer not null,
    register_wh bigint,
    power_w integer,
    primary key (day, session_id, at, digest)
) partition by range (day);
comment on table reading is 'at and digest are the event key: the reported millisecond and a 32-bit hash of the sample';

-- Makes the month of `wanted` ready for readings. Called by the road for a day it has not seen.
create function ensure_readings(wanted date) returns void language plpgsql as $$
declare
    first_day date := date_trunc('month', wanted);
    name text := 'reading_' || to_char(wanted, 'YYYYMM');
begin
    perform pg_advisory_xact_lock(hashtext('ensure_readings'));
    if to_regclass(name) is null then
        execute format('create table %I partition of reading for values from (%L) to (%L)',
            name, first_day, first_day + interval '1 month');
    end if;
end $$;

-- The priced, unchangeable record of one use.
create table bill (
    id uuid primary key,
    session_id uuid not null,
    revision smallint not null default 1 check (revision > 0),
    station_id text not null,
    connector integer,
    provider_id text not null,
    site_id text,
    driver_id text,
    token_masked text,
    tariff_id text not null,
    tariff_version integer not null,
    terms_version integer not null,
    means text not null check (means in ('balance', 'psp')),
    psp text,
    currency text not null,
    started_at timestamptz not null,
    ended_at timestamptz not null,
    energy_wh bigint not null check (energy_wh >= 0),
    seconds bigint not null check (seconds >= 0),
    total_minor bigint not null check (total_minor >= 0),
    vat_minor bigint not null check (vat_minor between 0 and total_minor),
    not_charged_minor bigint not null check (not_charged_minor >= 0),
    operator_minor bigint not null check (operator_minor >= 0),
    operator_vat_minor bigint not null check (operator_vat_minor >= 0),
    provider_minor bigint not null check (provider_minor >= 0),
    lines jsonb not null,
    flags text[] not null,
    issued_at timestamptz not null,
    unique (session_id, revision),
    check (operator_minor + provider_minor = total_minor)
);
create index bill_provider on bill (provider_id, issued_at, id);
create index bill_issued on bill (issued_at, id);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is never changed or deleted: correct it by a reversal', tg_table_name
        using errcode = 'restrict_violation';
end $$;
create trigger bill_unchangeable before update or delete on bill
    for each row execute function refuse_change();
create trigger bill_untruncatable before truncate on bill
    for each statement execute function refuse_change();
create trigger tariff_unchangeable before update or delete on tariff
    for each row execute function refuse_change();
create trigger provider_terms_unchangeable before update or delete on provider_terms
    for each row execute function refuse_change();

-- Work to do outside ------------------------------------------------------------------------------------------------

-- What the worker does after the commit. `key` is the idempotency key given to the outside, fixed before the call.
create table outbox (
    id uuid primary key,
    kind text not null,
    key text not null unique,
    subject text not null,
    payload jsonb not null,
    state text not null default 'waiting' check (state in ('waiting', 'done', 'given_up')),
    attempts integer not null default 0,
    claims integer not null default 0,
    next_at timestamptz not null default now(),
    leased_until timestamptz,
    last_error text,
    result jsonb,
    created_at timestamptz not null default now(),
    done_at timestamptz
) with (fillfactor = 70);
comment on column outbox.subject is 'what it is about (session/ID, authorization/ID): rows of one subject run in order';
comment on column outbox.attempts is 'attempts that failed and said so';
comment on column outbox.claims is 'how often a worker took it in hand, those that died with it included';
comment on column outbox.next_at is 'wall clock: back-off never follows the simulated clock';
create index outbox_waiting on outbox (next_at, id) where state = 'waiting';
create index outbox_subject on outbox (subject);

-- A psp was told to pay a share of a bill; at most one live or paid attempt.
create table remittance_item (
    bill_id uuid not null,
    payee text not null,
    attempt smallint not null default 1,
    psp text not null,
    account text not null,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    state text not null check (state in ('submitted', 'paid', 'failed')),
    psp_ref text,
    at timestamptz not null,
    primary key (bill_id, payee, attempt)
);
create unique index remittance_item_once on remittance_item (bill_id, payee) where state in ('submitted', 'paid');

-- What people must look at: nothing is given up in silence.
create table exception (
    id uuid primary key,
    kind text not null,
    ref text not null,
    station_id text,
    details jsonb not null default '{}',
    opened_at timestamptz not null,
    resolved_at timestamptz,
    resolution text,
    unique (kind, ref)
);

-- Reports whose meaning could not be recovered, with their text; answered all the same (quirk Q-R1).
create table parked_report (
    id uuid primary key,
    station_id text not null,
    action text not null,
    reason text not null,
    raw text not null,
    answer text,
    received_at timestamptz not null
);
comment on column parked_report.answer is 'the transaction id it was answered with, if it wanted one (1.6 StartTransaction)';
create index parked_report_station on parked_report (station_id, received_at);

create table command (
    id uuid primary key,
    station_id text not null references station,
    epoch bigint,
    action text not null,
    payload jsonb not null,
    state text not null check (state in ('queued', 'sent', 'answered', 'failed', 'unknown')),
    answer jsonb,
    error text,
    requested_by text,
    created_at timestamptz not null,
    sent_at timestamptz,
    ended_at timestamptz
);
create index command_station on command (station_id, created_at);

-- Staff access ------------------------------------------------------------------------------------------------------

create table oauth_client (
    id text primary key,
    secret_hash bytea not null,
    scopes text[] not null,
    name text,
    created_at timestamptz not null,
    revoked_at timestamptz
);

create table signing_key (
    kid text primary key,
    private_jwk jsonb not null,
    created_at timestamptz not null
);

-- The first answer to a money-moving request; a repeat gets it again, another body under the same key is refused.
create table idempotency_key (
    client_id text not null,
    key text not null,
    body_hash bytea not null,
    status integer,
    answer jsonb,
    created_at timestamptz not null default now(),
    primary key (client_id, key)
);
