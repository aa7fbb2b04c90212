-- Webhooks: what psps tell us, and what we tell others. How refunds end.

-- What psps tell ------------------------------------------------------------------------------------------------------

-- Every webhook as it came. What it says is a hint: the psp is asked before anything moves.
create table webhook_in (
    id uuid primary key,
    psp text not null,
    event_id text not null,
    verified boolean not null,
    reason text,
    kind text,
    ref text,
    occurred_at timestamptz,
    headers jsonb not null,
    raw bytea not null,
    received_at timestamptz not null,
    outcome text,
    unique (psp, event_id),
    check (verified or reason is not null)
);
comment on column webhook_in.event_id is 'the psp''s id of a genuine event; of others the digest of what came, so that they take no genuine one''s place';
comment on column webhook_in.outcome is 'what came of asking the psp; null until it was asked';
create index webhook_in_received on webhook_in (received_at, id);

-- What we tell ----------------------------------------------------------------------------------------------------------

create table webhook_endpoint (
    id uuid primary key,
    url text not null check (length(url) <= 2000),
    description text,
    types text[] not null default '{}',
    provider_id text references provider,
    secrets text[] not null check (cardinality(secrets) between 1 and 2),
    old_secret_until timestamptz,
    failing_since timestamptz,
    last_error text,
    disabled_at timestamptz,
    disabled_reason text,
    created_at timestamptz not null,
    check ((disabled_at is null) = (disabled_reason is null))
);
comment on table webhook_endpoint is 'who wants to be told, and signs of what; times are the wall''s';
comment on column webhook_endpoint.types is 'what it is told; empty: everything';
comment on column webhook_endpoint.provider_id is 'whose news it is told; null: everybody''s';
comment on column webhook_endpoint.secrets is 'newest first; two while one takes the other''s place';

-- News that somebody wanted when it was made. `key` tells what it is about: the same is never told twice.
create table notice (
    id uuid primary key,
    key text not null unique,
    type text not null,
    provider_id text,
    driver_id text,
    body jsonb not null,
    at timestamptz not null
);
create index notice_listed on notice (at, id);

-- Numbers of transactions belong to one PostgreSQL cluster. After a dump and restore they begin anew, below those in
-- the rows; so rows carry the era they were written in: one per cluster that the database has lived in.
create table cluster_era (
    era smallint primary key,
    system_identifier bigint not null,
    noticed_at timestamptz not null default now()
);
insert into cluster_era (era, system_identifier) select 0, system_identifier from pg_control_system();

alter table bill add column era smallint not null default 0;
comment on column bill.era is '(era, xid) orders transactions, also over a dump and restore';
create index bill_written on bill (era, xid);

-- How far a sweep has read: all rows whose transaction is below `next_xid`. A restored database counts transactions
-- anew (another `system_identifier`): then it is begun again with what is written since.
create table sweep (
    name text primary key,
    next_xid xid8 not null,
    since timestamptz not null,
    system_identifier bigint not null
);
insert into sweep
select 'notices', pg_snapshot_xmin(pg_current_snapshot()), '-infinity', system_identifier from pg_control_system();

alter table exception add column xid xid8 not null default pg_current_xact_id();
create index exception_xid on exception (xid);

create type notice_in as (key text, type text, provider_id text, driver_id text, body jsonb, at timestamptz);

-- Tells the endpoints that want it: a notice, and a job for each. Answers how many jobs were made; what nobody wants is
-- not kept.
create function tell(news notice_in[]) returns integer language plpgsql as $$
declare
    told integer;
begin
    with wanted as (
        select n.key, n.type, n.provider_id, n.driver_id, n.body, n.at, e.id as endpoint_id
        from unnest(news) n
        join webhook_endpoint e
            on e.disabled_at is null
            and (cardinality(e.types) = 0 or n.type = any(e.types))
            and (e.provider_id is null or e.provider_id = n.provider_id)),
    made as (
        insert into notice (id, key, type, provider_id, driver_id, body, at)
        select distinct on (w.key) gen_random_uuid(), w.key, w.type, w.provider_id, w.driver_id, w.body, w.at
        from wanted w
        order by w.key
        on conflict (key) do nothing
        returning id, key)
    insert into outbox (id, kind, key, subject, payload)
    select gen_random_uuid(), 'notify', 'notice/' || m.id || '/' || w.endpoint_id,
        'notice/' || m.id || '/' || w.endpoint_id, jsonb_build_object('notice', m.id, 'endpoint', w.endpoint_id)
    from made m
    join wanted w on w.key = m.key
    on conflict (key) do nothing;
    get diagnostics told = row_count;
    return told;
end $$;

-- Makes notices of what was committed since the last sweep: at most about `rows_max` bills and exceptions of reviews.
-- One sweep at a time; answers how many rows were read. Rows of transactions in flight are left for a later one.
create function sweep_notices(rows_max integer, now_at timestamptz) returns integer language plpgsql
set enable_seqscan = off as $$
declare
    place sweep;
    horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
    identifier bigint := (select c.system_identifier from pg_control_system() c);
    here smallint := (select max(e.era) from cluster_era e);
    news notice_in[];
    taken integer;
    newest xid8;
begin
    if not exists (select from webhook_endpoint where disabled_at is null) then
        return 0;  -- the first endpoint moves the place on
    end if;
    select * into place from sweep where name = 'notices' for update skip locked;
    if not found then
        return 0;
    end if;
    if place.system_identifier <> identifier then
        update sweep set next_xid = horizon, since = now_at - interval '1 hour', system_identifier = identifier
        where name = 'notices';
        return 0;
    end if;
    with fresh as (
        (select b.xid, b.issued_at as at, (
                'bill/' || b.id,
                case when b.revision = 1 then 'bill.issued' else 'bill.corrected' end,
                b.provider_id, b.driver_id,
                jsonb_build_object(
                    'bill', b.id, 'session', b.session_id, 'revision', b.revision, 'kind', b.kind,
                    'corrects', b.corrects, 'reason', b.reason, 'station', b.station_id, 'provider', b.provider_id,
                    'driver', b.driver_id, 'energy_wh', b.energy_wh, 'seconds', b.seconds,
                    'started_at', b.started_at, 'ended_at', b.ended_at,
                    'total', jsonb_build_object('minor', b.total_minor, 'currency', b.currency),
                    'vat', jsonb_build_object('minor', b.vat_minor, 'currency', b.currency)),
                b.issued_at)::notice_in as news
        from bill b
        where (b.era, b.xid) >= (here, place.next_xid)
        and (b.era, b.xid) < (here, horizon)
        order by b.era, b.xid
        fetch first rows_max rows with ties)
        union all
        (select e.xid, e.opened_at, (
                'exception/' || e.id, 'session.review', t.provider_id, null,
                jsonb_build_object(
                    'session', e.ref, 'station', e.station_id, 'provider', t.provider_id, 'why', e.details ->> 'why'),
                e.opened_at)::notice_in
        from exception e
        left join station t on t.id = e.station_id
        where e.xid >= place.next_xid
        and e.xid < horizon
        and e.kind = 'session_review'
        order by e.xid
        fetch first rows_max rows with ties)),
    -- both lists may be cut: only what is below the nearer cut is complete
    cut as (
        select xid
        from (
            select xid, row_number() over (order by xid) as number from fresh) numbered
        order by number
        offset rows_max - 1
        limit 1),
    complete as (
        select f.* from fresh f where f.xid <= coalesce((select xid from cut), horizon))
    select count(*), max(xid), array_agg(c.news order by c.xid) filter (where c.at >= place.since)
    into taken, newest, news
    from complete c;
    update sweep
    set next_xid = case when taken < rows_max then horizon else (newest::text::numeric + 1)::text::xid8 end
    where name = 'notices'
    and taken > 0;
    if news is not null then
        perform tell(news);
    end if;
    return taken;
end $$;

-- How refunds end -------------------------------------------------------------------------------------------------------

-- A payment may have been taken for a session that never came to be: what was paid before and not used.
alter table payment
    drop constraint payment_check1,
    add constraint payment_of_top_up check (kind = 'session' or session_id is null);

create type refund_end_in as (id uuid, was text, state text, psp_ref text, ended_at timestamptz);

-- Refunds whose ends are known; what failed is left of its payment again. Answers those that stood as the caller thought.
create function end_refunds(ends refund_end_in[]) returns setof uuid language plpgsql as $$
begin
    perform 1
    from payment p
    join refund r on r.payment_id = p.id
    join unnest(ends) e on e.id = r.id
    order by p.id
    for update of p;
    return query
    with ended as (
        update refund r
        set state = e.state, psp_ref = coalesce(e.psp_ref, r.psp_ref), ended_at = e.ended_at
        from unnest(ends) e
        where r.id = e.id
        and r.state = e.was
        returning r.id, r.payment_id, r.amount_minor, r.state),
    given_back as (
        update payment p
        set refunded_minor = p.refunded_minor - f.minor
        from (
            select payment_id, sum(amount_minor) as minor from ended where state = 'failed' group by payment_id) f
        where p.id = f.payment_id)
    select id from ended;
end $$;
