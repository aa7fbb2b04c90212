-- What reports stand on: what was there at an instant, sums that are kept up, ways to every transfer, who minds what.

-- The instant of a report ---------------------------------------------------------------------------------------------

alter table transfer
    add column era smallint not null default 0,
    add column at timestamptz not null default now();
comment on column transfer.at is 'its posting''s event_at, so that an account''s entries are found by time';

alter table transfer disable trigger transfer_unchangeable;
update transfer t set at = p.event_at from posting p where p.id = t.posting_id;
alter table transfer enable trigger transfer_unchangeable;

-- Called after every migration: a cluster that is not the last one begins an era. Its rows get it as their default.
create function notice_cluster() returns smallint language plpgsql as $$
declare
    here bigint := (select system_identifier from pg_control_system());
    newest cluster_era;
begin
    select * into newest from cluster_era order by era desc limit 1;
    if newest.system_identifier <> here then
        insert into cluster_era (era, system_identifier) values (newest.era + 1, here) returning * into newest;
        execute format('alter table bill alter column era set default %s', newest.era);
        execute format('alter table transfer alter column era set default %s', newest.era);
    end if;
    return newest.era;
end $$;

-- What was there when an `as_of` was first asked for: everybody who asks for it later gets the same rows.
create table report_snapshot (
    as_of timestamptz primary key,
    era smallint not null,
    taken pg_snapshot not null,
    horizon xid8 not null generated always as (pg_snapshot_xmin(taken)) stored,
    taken_at timestamptz not null default now()
);
comment on column report_snapshot.taken is 'which transactions had been committed';
comment on column report_snapshot.horizon is 'all older ones had ended';

-- The snapshot of an `as_of`, taken now if nobody has asked for it before. Whoever may read reports may take one.
create function snapshot_at(wanted timestamptz) returns report_snapshot language plpgsql
security definer set search_path from current as $$
declare
    kept report_snapshot;
    newest cluster_era;
begin
    select * into kept from report_snapshot s where s.as_of = wanted;
    if not found then
        select * into newest from cluster_era order by era desc limit 1;
        if newest.system_identifier <> (select system_identifier from pg_control_system()) then
            raise exception 'the database was brought here from another server: run csms migrate'
                using errcode = 'object_not_in_prerequisite_state';
        end if;
        insert into report_snapshot (as_of, era, taken) values (wanted, newest.era, pg_current_snapshot())
        on conflict (as_of) do nothing;
        select * into kept from report_snapshot s where s.as_of = wanted;
    end if;
    return kept;
end $$;

-- Whether a row was there when a snapshot was taken; everything is there without one. Each argument stands once, so
-- that the planner puts this in the place of its call.
create function in_snapshot(row_era smallint, row_xid xid8, era smallint, taken pg_snapshot) returns boolean
immutable parallel safe language sql as $$
    select case coalesce(sign(era - row_era), 1)
        when 0 then pg_visible_in_snapshot(row_xid, taken)
        when 1 then true
        else false
    end
$$;

-- Sums that are kept up -----------------------------------------------------------------------------------------------

-- Up to which transaction, without it, rows are in the sums.
create table sum_mark (
    name text primary key check (name in ('bill', 'transfer')),
    era smallint not null default 0,
    xid xid8 not null default '0'
);
insert into sum_mark (name) values ('bill'), ('transfer');

create function sum_mark_of(wanted text) returns sum_mark stable language sql
security definer set search_path from current as $$
    select * from sum_mark where name = wanted
$$;

-- Bills by day (UTC) and what they are asked by; and by provider, which is much less to read: by day (UTC), and by
-- quarter of an hour, of which the days of every zone are made.
-- `top`: the youngest transaction in the sum.
create table bill_day (
    day date not null,
    provider_id text not null,
    station_id text not null,
    connector integer,
    tariff_id text not null,
    currency text not null,
    bills bigint not null,
    energy_wh bigint not null,
    seconds bigint not null,
    total_minor bigint not null,
    vat_minor bigint not null,
    not_charged_minor bigint not null,
    operator_minor bigint not null,
    operator_vat_minor bigint not null,
    provider_minor bigint not null,
    top_era smallint not null,
    top_xid xid8 not null,
    unique nulls not distinct (day, provider_id, station_id, connector, tariff_id, currency)
) with (fillfactor = 70);

create table bill_span (
    unit interval not null check (unit in ('1 day', '15 minutes')),
    began timestamptz not null,
    provider_id text not null,
    currency text not null,
    bills bigint not null,
    energy_wh bigint not null,
    seconds bigint not null,
    total_minor bigint not null,
    vat_minor bigint not null,
    not_charged_minor bigint not null,
    operator_minor bigint not null,
    operator_vat_minor bigint not null,
    provider_minor bigint not null,
    top_era smallint not null,
    top_xid xid8 not null,
    primary key (unit, began, provider_id, currency)
) with (fillfactor = 70);

-- Transfers by day (UTC) and account; accounts of single drivers, uses and vouchers are added up.
create table account_day (
    account text not null,
    asset text not null,
    day date not null,
    debited bigint not null,
    credited bigint not null,
    top_era smallint not null,
    top_xid xid8 not null,
    primary key (account, asset, day)
) with (fillfactor = 70);

create index transfer_written on transfer (era, xid);
create index transfer_at on transfer using brin (at) with (autosummarize = on);

-- `unit` is '1 day' (UTC) or '15 minutes'.
create function unit_of(unit interval, at timestamptz) returns timestamptz immutable parallel safe language sql as $$
    select date_bin(unit, at, '2000-01-01 00:00:00+00')
$$;

create function utc_day(at timestamptz) returns date immutable parallel safe language sql as $$
    select (at at time zone 'UTC')::date
$$;

-- The account that an address is added up in: itself, or all of its kind.
create function account_of(address text) returns text immutable parallel safe language sql as $$
    select case when split_part(address, ':', 1) in
            ('driver', 'session', 'rental', 'deposit', 'voucher', 'authorization')
        then split_part(address, ':', 1) || ':*' || coalesce(':' || nullif(split_part(address, ':', 3), ''), '')
        else address
    end
$$;

-- The transaction before which rows of `bill` or `transfer` can be added to the sums now: all before it have ended.
-- About `rows_max` rows at a time, but a transaction is added whole, so there is always something before it, if anything.
create function next_mark(mark sum_mark, rows_max integer) returns sum_mark language plpgsql as $$
declare
    bound sum_mark := mark;
    oldest sum_mark;
    seen sum_mark;
    later text := 'select $1, era, xid from %I where (era, xid) %s ($2, $3) order by era, xid offset $4 limit 1';
begin
    select max(e.era) into bound.era from cluster_era e;
    bound.xid := pg_snapshot_xmin(pg_current_snapshot());
    execute format(later, mark.name, '>=') into oldest using mark.name, mark.era, mark.xid, 0;
    execute format(later, mark.name, '>=') into seen using mark.name, mark.era, mark.xid, rows_max;
    if (seen.era, seen.xid) = (oldest.era, oldest.xid) then
        execute format(later, mark.name, '>') into seen using mark.name, oldest.era, oldest.xid, 0;
    end if;
    return case when (seen.era, seen.xid) < (bound.era, bound.xid) then seen else bound end;
end $$;

-- Adds bills to the sums; answers whether there may be more to add. Two at once: the second waits.
create function sum_bills(rows_max integer) returns boolean language plpgsql as $$
declare
    mark sum_mark;
    bound sum_mark;
begin
    select * into strict mark from sum_mark where name = 'bill' for update;
    bound := next_mark(mark, rows_max);
    if not exists (
        select from bill b
        where (b.era, b.xid) >= (mark.era, mark.xid) and (b.era, b.xid) < (bound.era, bound.xid)) then
        return false;
    end if;

    insert into bill_day as s (
        day, provider_id, station_id, connector, tariff_id, currency, bills, energy_wh, seconds, total_minor, vat_minor,
        not_charged_minor, operator_minor, operator_vat_minor, provider_minor, top_era, top_xid)
    select utc_day(b.issued_at), b.provider_id, b.station_id, b.connector, b.tariff_id, b.currency, count(*),
        sum(b.energy_wh), sum(b.seconds), sum(b.total_minor), sum(b.vat_minor), sum(b.not_charged_minor),
        sum(b.operator_minor), sum(b.operator_vat_minor), sum(b.provider_minor), max(b.era), max(b.xid)
    from bill b
    where (b.era, b.xid) >= (mark.era, mark.xid)
    and (b.era, b.xid) < (bound.era, bound.xid)
    group by 1, 2, 3, 4, 5, 6
    on conflict (day, provider_id, station_id, connector, tariff_id, currency) do update
    set bills = s.bills + excluded.bills, energy_wh = s.energy_wh + excluded.energy_wh,
        seconds = s.seconds + excluded.seconds, total_minor = s.total_minor + excluded.total_minor,
        vat_minor = s.vat_minor + excluded.vat_minor,
        not_charged_minor = s.not_charged_minor + excluded.not_charged_minor,
        operator_minor = s.operator_minor + excluded.operator_minor,
        operator_vat_minor = s.operator_vat_minor + excluded.operator_vat_minor,
        provider_minor = s.provider_minor + excluded.provider_minor,
        top_era = excluded.top_era, top_xid = excluded.top_xid;

    insert into bill_span as s (
        unit, began, provider_id, currency, bills, energy_wh, seconds, total_minor, vat_minor, not_charged_minor,
        operator_minor, operator_vat_minor, provider_minor, top_era, top_xid)
    select u.unit, unit_of(u.unit, b.issued_at), b.provider_id, b.currency, count(*), sum(b.energy_wh), sum(b.seconds),
        sum(b.total_minor), sum(b.vat_minor), sum(b.not_charged_minor), sum(b.operator_minor),
        sum(b.operator_vat_minor), sum(b.provider_minor), max(b.era), max(b.xid)
    from bill b
    cross join (values (interval '1 day'), (interval '15 minutes')) u (unit)
    where (b.era, b.xid) >= (mark.era, mark.xid)
    and (b.era, b.xid) < (bound.era, bound.xid)
    group by 1, 2, 3, 4
    on conflict (unit, began, provider_id, currency) do update
    set bills = s.bills + excluded.bills, energy_wh = s.energy_wh + excluded.energy_wh,
        seconds = s.seconds + excluded.seconds, total_minor = s.total_minor + excluded.total_minor,
        vat_minor = s.vat_minor + excluded.vat_minor,
        not_charged_minor = s.not_charged_minor + excluded.not_charged_minor,
        operator_minor = s.operator_minor + excluded.operator_minor,
        operator_vat_minor = s.operator_vat_minor + excluded.operator_vat_minor,
        provider_minor = s.provider_minor + excluded.provider_minor,
        top_era = excluded.top_era, top_xid = excluded.top_xid;

    update sum_mark set era = bound.era, xid = bound.xid where name = 'bill';
    return (bound.era, bound.xid) < ((select max(era) from cluster_era), pg_snapshot_xmin(pg_current_snapshot()));
end $$;

-- Adds transfers to the sums of accounts; as sum_bills().
create function sum_transfers(rows_max integer) returns boolean language plpgsql as $$
declare
    mark sum_mark;
    bound sum_mark;
begin
    select * into strict mark from sum_mark where name = 'transfer' for update;
    bound := next_mark(mark, rows_max);
    if not exists (
        select from transfer t
        where (t.era, t.xid) >= (mark.era, mark.xid) and (t.era, t.xid) < (bound.era, bound.xid)) then
        return false;
    end if;
    insert into account_day as s (account, asset, day, debited, credited, top_era, top_xid)
    select account_of(m.address), t.asset, utc_day(t.at), sum(m.debited), sum(m.credited), max(t.era), max(t.xid)
    from transfer t
    cross join lateral (values (t.debit, t.amount, 0), (t.credit, 0, t.amount)) m (address, debited, credited)
    where (t.era, t.xid) >= (mark.era, mark.xid)
    and (t.era, t.xid) < (bound.era, bound.xid)
    group by 1, 2, 3
    on conflict (account, asset, day) do update
    set debited = s.debited + excluded.debited, credited = s.credited + excluded.credited,
        top_era = excluded.top_era, top_xid = excluded.top_xid;
    update sum_mark set era = bound.era, xid = bound.xid where name = 'transfer';
    return (bound.era, bound.xid) < ((select max(era) from cluster_era), pg_snapshot_xmin(pg_current_snapshot()));
end $$;

-- What a report adds up: sums, where they count, and the bills they do not tell of -------------------------------------

-- Spans begin at `since` and end before `until`, null means no bound.
create function first_whole(unit interval, since timestamptz) returns timestamptz immutable parallel safe language sql as $$
    select coalesce(unit_of(unit, since + unit - interval '1 microsecond'), '-infinity')
$$;
create function last_whole(unit interval, until timestamptz) returns timestamptz immutable parallel safe language sql as $$
    select coalesce(unit_of(unit, until), 'infinity')
$$;

-- Whole units whose sums hold something younger than the snapshot: for it they are added up from their bills.
create function too_young(unit interval, since timestamptz, until timestamptz, at_era smallint, taken pg_snapshot)
returns setof timestamptz stable language sql as $$
    select distinct s.began
    from bill_span s
    where s.unit = too_young.unit
    and taken is not null
    and s.began >= first_whole(too_young.unit, since)
    and s.began < last_whole(too_young.unit, until)
    and (s.top_era, s.top_xid) >= (at_era, pg_snapshot_xmin(taken))
$$;

create function summed_days(since timestamptz, until timestamptz, at_era smallint, taken pg_snapshot)
returns setof bill_day stable language sql as $$
    select d.*
    from bill_day d
    where d.day >= utc_day(first_whole('1 day', since))
    and d.day < utc_day(last_whole('1 day', until))
    and d.day <> all (array(select utc_day(y) from too_young('1 day', since, until, at_era, taken) y))
$$;

create function summed_spans(unit interval, since timestamptz, until timestamptz, at_era smallint, taken pg_snapshot)
returns setof bill_span stable language sql as $$
    select s.*
    from bill_span s
    where s.unit = summed_spans.unit
    and s.began >= first_whole(summed_spans.unit, since)
    and s.began < last_whole(summed_spans.unit, until)
    and s.began <> all (array(select too_young(summed_spans.unit, since, until, at_era, taken)))
$$;

-- What was written since the sums were made, by its index: nothing else knows how few rows these are.
create function bills_since_sums() returns setof bill stable language plpgsql rows 1000
set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    mark sum_mark := sum_mark_of('bill');
begin
    return query select * from bill b where (b.era, b.xid) >= (mark.era, mark.xid);
end $$;

create function transfers_since_sums() returns setof transfer stable language plpgsql rows 1000
set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    mark sum_mark := sum_mark_of('transfer');
begin
    return query select * from transfer t where (t.era, t.xid) >= (mark.era, mark.xid);
end $$;

create function unsummed_bills(unit interval, since timestamptz, until timestamptz, at_era smallint, taken pg_snapshot)
returns setof bill stable language sql as $$
    with whole as (
        select first_whole(unit, since) as first, last_whole(unit, until) as last),
    young as materialized (
        select too_young(unit, since, until, at_era, taken) as began),
    span as (
        select coalesce(since, '-infinity') as lower,
            case when first < last then first else coalesce(until, 'infinity') end as upper
        from whole
        union all
        select last, coalesce(until, 'infinity') from whole where first < last
        union all
        select began, began + unit from young)
    select b.*
    from span s
    cross join lateral (
        select * from bill where bill.issued_at >= s.lower and bill.issued_at < s.upper) b
    where in_snapshot(b.era, b.xid, at_era, taken)
    union all
    select b.*
    from whole w
    cross join bills_since_sums() b
    where b.issued_at >= w.first
    and b.issued_at < w.last
    and unit_of(unit, b.issued_at) not in (select began from young)
    and in_snapshot(b.era, b.xid, at_era, taken)
$$;

-- Every account up to and without an instant, from the sums of whole days and the transfers they do not tell of.
create function account_sums(until timestamptz, at_era smallint, taken pg_snapshot)
returns table (account text, asset text, debited bigint, credited bigint) stable language sql as $$
    with last as (
        select utc_day(last_whole('1 day', until)) as day),
    young as materialized (
        select distinct d.day
        from account_day d, last l
        where taken is not null
        and d.day < l.day
        and (d.top_era, d.top_xid) >= (at_era, pg_snapshot_xmin(taken))),
    span as (
        select l.day::timestamp at time zone 'UTC' as lower, until as upper from last l where until is not null
        union all
        select y.day::timestamp at time zone 'UTC', (y.day + 1)::timestamp at time zone 'UTC' from young y),
    unsummed as (
        select t.*
        from span s
        cross join lateral (
            select * from transfer where transfer.at >= s.lower and transfer.at < s.upper) t
        where in_snapshot(t.era, t.xid, at_era, taken)
        union all
        select t.*
        from last l
        cross join transfers_since_sums() t
        where t.at < l.day::timestamp at time zone 'UTC'
        and utc_day(t.at) not in (select day from young)
        and in_snapshot(t.era, t.xid, at_era, taken)),
    part as (
        select d.account, d.asset, d.debited, d.credited
        from account_day d, last l
        where d.day < l.day
        and d.day not in (select day from young)
        union all
        select account_of(u.debit), u.asset, u.amount, 0 from unsummed u
        union all
        select account_of(u.credit), u.asset, 0, u.amount from unsummed u)
    select p.account, p.asset, sum(p.debited)::bigint, sum(p.credited)::bigint
    from part p
    group by p.account, p.asset
$$;

-- Ways to every transfer ---------------------------------------------------------------------------------------------------

-- An account's entries in the order of their events. Also found by the address alone, for balances.
create index transfer_debit_at on transfer (debit, at);
create index transfer_credit_at on transfer (credit, at);
drop index transfer_debit;
drop index transfer_credit;
-- The balance of one account from events before an instant, null for all. Accounts that are added up by themselves
-- have sums of whole days; the others have few entries.
create function account_before(address text, instant timestamptz)
returns table (asset text, balance bigint) stable language sql as $$
    with last as (
        select case when account_of(address) = address then utc_day(coalesce(instant, 'infinity')) else '-infinity' end
            as day),
    entry as (
        select t.asset, t.amount as signed
        from last l, transfer t
        where t.credit = address
        and t.at >= l.day::timestamp at time zone 'UTC'
        and t.at < coalesce(instant, 'infinity')
        union all
        select t.asset, -t.amount
        from last l, transfer t
        where t.debit = address
        and t.at >= l.day::timestamp at time zone 'UTC'
        and t.at < coalesce(instant, 'infinity')
        union all
        select t.asset, case when t.credit = address then t.amount else -t.amount end
        from last l
        cross join transfers_since_sums() t
        where l.day > '-infinity'
        and address in (t.debit, t.credit)
        and t.at < l.day::timestamp at time zone 'UTC'
        union all
        select d.asset, d.credited - d.debited
        from last l, account_day d
        where d.account = address
        and d.day < l.day)
    select e.asset, sum(e.signed)::bigint
    from entry e
    group by e.asset
$$;

-- The postings of a session or a refund.
create index posting_ref on posting (ref);

-- As in 0002, and a transfer knows the time of its event.
create or replace function post_new(postings posting_in[], transfers transfer_in[]) returns void language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
    -- Guarded accounts in one order: whoever comes second waits here, holding none of them.
    merge into guarded_account g
    using (
        select m.address, m.asset, sum(m.amount) as delta
        from unnest(transfers) t
        cross join lateral (values (t.debit, t.asset, -t.amount), (t.credit, t.asset, t.amount)) m (address, asset, amount)
        where guarded(m.address)
        group by m.address, m.asset
        having sum(m.amount) <> 0
        order by m.address, m.asset) moved
    on g.address = moved.address and g.asset = moved.asset
    when matched then
        update set balance = g.balance + moved.delta
    when not matched then
        insert (address, asset, balance) values (moved.address, moved.asset, moved.delta);

    insert into posting (id, key, kind, ref, event_at)
    select p.id, p.key, p.kind, p.ref, p.event_at from unnest(postings) p;

    insert into transfer (posting_id, seq, debit, credit, asset, amount, at)
    select postings[t.posting].id, t.seq, t.debit, t.credit, t.asset, t.amount, postings[t.posting].event_at
    from unnest(transfers) t;
end $$;

-- Lists that people narrow ---------------------------------------------------------------------------------------------------

create index bill_driver on bill (driver_id, issued_at, id);
create index bill_station on bill (station_id, issued_at, id);
create index session_driver on session (driver_id, opened_at, id);
create index session_provider on session (provider_id, opened_at, id);
create index remittance_item_listed on remittance_item (at);
create index refund_listed on refund (asked_at, id);
create index payment_listed on payment (at, id);
create index parked_report_received on parked_report (received_at, id);

-- Who minds what -----------------------------------------------------------------------------------------------------------

alter table exception
    add column owner text check (length(owner) between 1 and 100),
    add column resolved_by text;
comment on column exception.resolved_by is 'the client of the person who resolved it; null where it ended by itself';
create index exception_opened on exception (opened_at, id);
create index exception_open on exception (kind, opened_at, id) where resolved_at is null;

-- Everything that people did with an exception, in order.
create table exception_change (
    id bigint generated always as identity primary key,
    exception_id uuid not null references exception,
    at timestamptz not null,
    made_by text not null,
    owner text,
    resolution text
);
create index exception_change_of on exception_change (exception_id, id);
create trigger exception_change_unchangeable before update or delete on exception_change
    for each row execute function refuse_change();
