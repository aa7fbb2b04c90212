-- Who may see what: five roles, row-level security on every table, staff's clients, erasure, and the trail of what
-- people changed. A later migration that adds a table calls guard() for it.

-- Roles --------------------------------------------------------------------------------------------------------------

-- They belong to the whole server, so another database of it may have made them. Who connects must be able to become
-- each of them; where that cannot be arranged from here, the error says what the server's administrator runs.
do $$
declare
    wanted text;
    missing text[] := '{}';
begin
    foreach wanted in array array['csms_owner', 'csms_writer', 'csms_staff', 'csms_provider', 'csms_driver'] loop
        begin
            if not exists (select from pg_roles where rolname = wanted) then
                execute format('create role %I nologin', wanted);
            end if;
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then missing := missing || format('create role %I nologin;', wanted);
        end;
        begin
            if not exists (select from pg_roles where rolname = wanted)
                or not pg_has_role(current_user, wanted, 'USAGE') then
                execute format('grant %I to %I', wanted, current_user);
            end if;
        exception when insufficient_privilege or undefined_object then
            missing := missing || format('grant %I to %I;', wanted, current_user);
        end;
    end loop;
    begin
        execute format('grant usage on schema %I to csms_writer, csms_staff, csms_provider, csms_driver', current_schema());
        execute format('grant usage, create on schema %I to csms_owner', current_schema());
    exception
        when undefined_object then null;  -- said above
        when insufficient_privilege then
            missing := missing || format('grant usage, create on schema %I to csms_owner with grant option;', current_schema());
    end;
    if missing <> '{}' then
        raise insufficient_privilege using
            message = format('the database user %s may not make the roles that csms works with', current_user),
            hint = 'let an administrator of the server run this, then try again: ' || array_to_string(missing, ' ');
    end if;
end $$;

-- Whose rows a provider's or a driver's transaction may see; unset means nobody's.
create function own_provider() returns text stable parallel safe language sql as $$
    select nullif(current_setting('csms.provider', true), '')
$$;
create function own_driver() returns text stable parallel safe language sql as $$
    select nullif(current_setting('csms.driver', true), '')
$$;
create function own_client() returns text stable parallel safe language sql as $$
    select nullif(current_setting('csms.client', true), '')
$$;

-- The key of station credentials: a provider's staff give their stations passwords, but read no other secret.
create function installation_key() returns bytea stable language sql as $$
    select pepper from installation
$$;

-- Staff's clients ----------------------------------------------------------------------------------------------------

alter table oauth_client
    add column provider_id text references provider,
    add column previous_hash bytea,
    add column previous_until timestamptz;
comment on column oauth_client.provider_id is 'whose staff it is; null is the operator''s';
comment on column oauth_client.previous_hash is 'the secret before this one, good until `previous_until` (wall clock)';

create index idempotency_key_age on idempotency_key (created_at);

-- The trail ----------------------------------------------------------------------------------------------------------

-- What people asked to be changed, in order; each event's hash covers the event before it.
create table audit_event (
    n bigint primary key,
    at timestamptz not null,
    client text not null,
    provider_id text,
    driver_id text,
    method text not null,
    route text not null,
    object jsonb not null,
    body_hash bytea,
    status smallint,
    request_id text not null,
    previous bytea not null,
    hash bytea not null
);
comment on column audit_event.status is 'the HTTP status it was answered with; null when it was about to be done';
comment on column audit_event.body_hash is 'SHA-256 of what was sent: bodies may hold secrets and persons'' names';

-- One row: the newest event. Its lock puts events in one order, and without it the end of the trail could be cut off.
create table audit_head (
    only_row boolean primary key default true check (only_row),
    n bigint not null,
    hash bytea not null
);
insert into audit_head (n, hash) values (0, sha256(''));

create trigger audit_unchangeable before update or delete on audit_event
    for each row execute function refuse_change();
create trigger audit_untruncatable before truncate on audit_event
    for each statement execute function refuse_change();

-- The hash of an event: of the one before, and of all that it says.
create function audit_hash(event audit_event) returns bytea stable language sql as $$
    select sha256(event.previous || convert_to(jsonb_build_array(
        event.n, (extract(epoch from event.at) * 1000000)::bigint, event.client, event.provider_id, event.driver_id,
        event.method, event.route, event.object, encode(event.body_hash, 'hex'), event.status,
        event.request_id)::text, 'UTF8'))
$$;

-- Adds an event at the end of the trail and answers its number. Called last in a transaction, for its lock is kept.
create function append_audit(
    at timestamptz, client text, provider_id text, driver_id text, method text, route text, object jsonb,
    body_hash bytea, status smallint, request_id text)
returns bigint language plpgsql as $$
declare
    head audit_head;
    made audit_event;
begin
    select * into strict head from audit_head for update;
    made := (head.n + 1, at, client, provider_id, driver_id, method, route, object, body_hash, status, request_id,
        head.hash, '')::audit_event;
    made.hash := audit_hash(made);
    insert into audit_event select (made).*;
    update audit_head set n = made.n, hash = made.hash;
    return made.n;
end $$;

-- Events that were changed, or next to which some are missing.
create function broken_audit() returns table (n bigint, wrong text) stable language sql as $$
    select e.n, 'changed'
    from audit_event e
    where e.hash <> audit_hash(e)
    union all
    select c.n, 'what came before it is missing or was put there later'
    from (
        select e.n, e.previous, lag(e.n, 1, 0::bigint) over w as n_before, lag(e.hash, 1, sha256('')) over w as hash_before
        from audit_event e
        window w as (order by e.n)) c
    where c.n <> c.n_before + 1
    or c.previous <> c.hash_before
    union all
    select h.n, 'the newest events are missing'
    from audit_head h
    left join lateral (select e.n, e.hash from audit_event e order by e.n desc limit 1) newest on true
    where h.n <> coalesce(newest.n, 0)
    or h.hash <> coalesce(newest.hash, sha256(''))
$$;

-- Rows -----------------------------------------------------------------------------------------------------------------

-- Puts a table under row-level security. The operator's roles see all of it; a provider's and a driver's transactions
-- see the rows for which the text given for them holds, and none without; a provider's may write those for which
-- `writes` holds.
create function guard(named regclass, for_provider text, for_driver text, writes text default null) returns void
language plpgsql as $$
begin
    execute format('alter table %s enable row level security', named);
    execute format('alter table %s force row level security', named);
    execute format('create policy ours on %s to csms_owner, csms_writer, csms_staff using (true) with check (true)', named);
    execute format('grant select on %s to csms_writer, csms_staff, csms_provider, csms_driver', named);
    if for_provider is not null then
        execute format('create policy provider_sees on %s for select to csms_provider using (%s)', named, for_provider);
    end if;
    if for_driver is not null then
        execute format('create policy driver_sees on %s for select to csms_driver using (%s)', named, for_driver);
    end if;
    if writes is not null then
        execute format('grant insert, update, delete on %s to csms_provider', named);
        execute format('create policy provider_adds on %s for insert to csms_provider with check (%s)', named, writes);
        execute format('create policy provider_changes on %s for update to csms_provider using (%s)', named, writes);
        execute format('create policy provider_removes on %s for delete to csms_provider using (%s)', named, writes);
    end if;
end $$;

-- What a table's columns say about whose its rows are, where nothing else is said below.
create function whose(named regclass, sight text) returns text stable language sql as $$
    select rule
    from (values
        ('provider', 1, 'provider_id', 'provider_id = own_provider()'),
        ('driver', 1, 'driver_id', 'driver_id = own_driver()'),
        ('provider', 2, 'station_id', format('exists (select from station s where s.id = %s.station_id)', named)),
        ('provider', 3, 'session_id', format('exists (select from session s where s.id = %s.session_id)', named)),
        ('driver', 3, 'session_id', format('exists (select from session s where s.id = %s.session_id)', named)),
        ('provider', 4, 'bill_id', format('exists (select from bill b where b.id = %s.bill_id)', named)),
        ('driver', 4, 'bill_id', format('exists (select from bill b where b.id = %s.bill_id)', named))
    ) known (of_sight, place, of_column, rule)
    join pg_attribute a on a.attrelid = named and a.attname = of_column and a.attnum > 0 and not a.attisdropped
    where of_sight = sight
    order by place
    limit 1
$$;

-- Every table there is. `provider` and `driver` say who sees what; `by columns` takes it from whose() above.
do $$
declare
    t record;
begin
    for t in
        select c.oid::regclass as named, coalesce(s.provider, 'by columns') as provider,
            coalesce(s.driver, 'by columns') as driver, s.writes
        from pg_class c
        left join (values
            -- parties
            ('provider', 'id = own_provider()', 'exists (select from bill b where b.provider_id = provider.id)', null),
            ('driver', 'nobody', 'id = own_driver()', null),
            ('driver_identity', 'nobody', 'driver_id = own_driver()', null),
            ('token', 'nobody', 'driver_id = own_driver()', null),
            ('token_budget', 'nobody', 'exists (select from token t where t.key = token_budget.token_key)', null),
            ('token_spending', 'nobody', 'exists (select from token t where t.key = token_spending.token_key)', null),
            -- what providers set up themselves
            ('site', null, 'exists (select from bill b where b.site_id = site.id)', 'provider_id = own_provider()'),
            ('station', null, 'nobody', 'provider_id = own_provider()'),
            ('connector', null, 'nobody', 'exists (select from station s where s.id = connector.station_id)'),
            ('meter_key', null, 'nobody', 'exists (select from station s where s.id = meter_key.station_id)'),
            ('tariff', 'provider_id = own_provider() or provider_id is null', 'nobody', 'provider_id = own_provider()'),
            -- what psps know of drivers is not their providers'
            ('psp_authorization', 'nobody', null, null),
            ('payment', 'nobody', null, null),
            -- the ledger: a provider's own account, a driver's own money and what is set aside of it
            ('transfer', '''provider:'' || own_provider() || '':payable'' in (debit, credit)',
                '''driver:'' || own_driver() || '':balance'' in (debit, credit)'
                ' or ''driver:'' || own_driver() || '':debt'' in (debit, credit)', null),
            ('posting', 'exists (select from transfer t where t.posting_id = posting.id)',
                'exists (select from transfer t where t.posting_id = posting.id)', null),
            ('guarded_account', 'nobody',
                'address = ''driver:'' || own_driver() || '':balance'' or case when address like ''session:%:held'''
                ' then exists (select from session s where s.id = split_part(address, '':'', 2)::uuid) else false end',
                null),
            ('remittance_item', 'payee = ''provider:'' || own_provider()', 'nobody', null),
            ('account_day', 'account = ''provider:'' || own_provider() || '':payable''', 'nobody', null),
            ('tax_invoice', null, null, 'exists (select from bill b where b.id = tax_invoice.bill_id)'),
            ('tax_invoice_count', 'issuer = own_provider()', 'nobody', 'issuer = own_provider()'),
            ('statement_bill', null, 'nobody', null),
            ('statement_adjustment', null, 'nobody', null),
            ('exception_change', 'exists (select from exception e where e.id = exception_change.exception_id)',
                'nobody', null),
            -- the first answers to a client's repeated requests
            ('idempotency_key', 'client_id = own_client()', 'client_id = own_client()', 'client_id = own_client()'),
            ('command', null, 'requested_by = own_client()', null),
            ('oauth_client', 'nobody', 'nobody', null),
            ('outbox', 'nobody', 'nobody', null),
            -- with the secrets that sign
            ('webhook_endpoint', 'nobody', 'nobody', null)
        ) s (name, provider, driver, writes) on c.relname = s.name
        where c.relnamespace = current_schema()::regnamespace
        and c.relkind in ('r', 'p')
        and not c.relispartition
        and c.relname not in ('installation', 'migration', 'signing_key', 'audit_head')
        order by c.relname
    loop
        perform guard(t.named,
            nullif(case t.provider when 'by columns' then whose(t.named, 'provider') else t.provider end, 'nobody'),
            nullif(case t.driver when 'by columns' then whose(t.named, 'driver') else t.driver end, 'nobody'),
            t.writes);
    end loop;
end $$;

do $$
declare
    v record;
begin
    for v in
        select c.oid::regclass as named
        from pg_class c
        where c.relnamespace = current_schema()::regnamespace
        and c.relkind = 'v'
    loop
        execute format('alter view %s set (security_invoker = true)', v.named);
        execute format('grant select on %s to csms_writer, csms_staff, csms_provider, csms_driver', v.named);
    end loop;
end $$;

-- A driver repeats requests, too.
grant insert, update on idempotency_key to csms_driver;
create policy driver_asks on idempotency_key to csms_driver
    using (client_id = own_client()) with check (client_id = own_client());

-- The operator's roles write what they have to: the ledger only by post(), the trail by append_audit(); what stations
-- report is written by the road alone.
do $$
begin
    execute format('grant select, insert, update, delete on all tables in schema %I to csms_writer, csms_staff', current_schema());
end $$;
revoke insert, update, delete on posting, transfer, guarded_account, audit_event, audit_head, migration, installation
    from csms_writer, csms_staff;
revoke update, delete on bill, tariff, provider_terms, signing_key from csms_writer, csms_staff;
revoke insert, update, delete on session, reading, bill from csms_staff;

-- Erasure --------------------------------------------------------------------------------------------------------------

alter table driver
    add column erased_at timestamptz,
    add constraint driver_erased check (erased_at is null or (name is null and status = 'blocked'));
comment on column driver.erased_at is 'when all that told who this is was removed; the id stays, as a name without a person';

-- A bill never changes, but for the last that hints at a person's token.
create function refuse_bill_change() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.token_masked is null
        and to_jsonb(new) - 'token_masked' = to_jsonb(old) - 'token_masked' then
        return new;
    end if;
    raise exception 'bill is never changed or deleted: correct it by a reversal' using errcode = 'restrict_violation';
end $$;
create or replace trigger bill_unchangeable before update or delete on bill
    for each row execute function refuse_bill_change();

-- Nobody gives an erased driver a token or an identity again. An erasure under way is waited for: without the lock its
-- row would still look as it was before.
create function refuse_erased() returns trigger language plpgsql as $$
declare
    erased timestamptz;
begin
    select d.erased_at into erased from driver d where d.id = new.driver_id for key share;
    if erased is not null then
        raise exception 'driver % was erased', new.driver_id using errcode = 'CS409';
    end if;
    return new;
end $$;
-- What was decided on a token before its driver was erased is decided again: then the token is nobody's.
create function lose_to_erasure() returns trigger language plpgsql as $$
declare
    erased timestamptz;
begin
    select d.erased_at into erased from driver d where d.id = new.driver_id for key share;
    if erased is not null then
        perform lost_race('driver erased');
    end if;
    return new;
end $$;
-- An erased driver stays as it is.
create function refuse_erased_change() returns trigger language plpgsql as $$
begin
    raise exception 'driver % was erased', old.id using errcode = 'CS409';
end $$;
create trigger driver_erased_stays before update on driver
    for each row when (old.erased_at is not null) execute function refuse_erased_change();
create trigger token_of_somebody before insert on token
    for each row when (new.driver_id is not null) execute function refuse_erased();
create trigger identity_of_somebody before insert on driver_identity
    for each row execute function refuse_erased();
create trigger session_of_somebody before insert on session
    for each row when (new.driver_id is not null) execute function lose_to_erasure();
create trigger session_becomes_somebodys before update on session
    for each row when (new.driver_id is not null and old.driver_id is distinct from new.driver_id)
    execute function lose_to_erasure();
create trigger authorization_of_somebody before insert on psp_authorization
    for each row when (new.driver_id is not null) execute function lose_to_erasure();

-- What psps were asked about a driver; before a person was a driver, only the person was written.
create function authorizations_of(of_driver text) returns setof psp_authorization stable language sql as $$
    select a.*
    from psp_authorization a
    where a.driver_id = of_driver
    or exists (
        select from driver_identity i
        where i.driver_id = of_driver
        and i.issuer = a.issuer
        and i.subject = a.subject)
$$;

-- Why a driver cannot be erased now; null when nothing stands against it.
create function unfinished(of_driver text) returns text stable language sql as $$
    select reason
    from (
        select 1 as place, 'a session has not been settled' as reason
        where exists (
            select from session s
            where s.driver_id = of_driver
            and s.state not in ('completed', 'invalid'))
        union all
        select 2, 'the balance is not 0'
        where exists (
            select from guarded_account g
            where g.address = 'driver:' || of_driver || ':balance'
            and g.balance <> 0)
        union all
        select 3, 'a debt is not paid'
        where exists (
            select from transfer t
            where 'driver:' || of_driver || ':debt' in (t.debit, t.credit)
            group by t.asset
            having sum(case when t.credit = 'driver:' || of_driver || ':debt' then t.amount else -t.amount end) <> 0)
        union all
        select 4, 'a refund is on its way'
        where exists (select from refund r where r.driver_id = of_driver and r.state = 'pending')
        union all
        select 5, 'a payment is being made'
        where exists (
            select from authorizations_of(of_driver) a
            where a.state in ('asking', 'authorized', 'timed_out', 'voiding'))
        or exists (
            select from session s
            join outbox o on o.subject = 'session/' || s.id and o.state = 'waiting'
            where s.driver_id = of_driver)) found
    order by place
    limit 1
$$;

-- Removes what tells who a driver is, once; bills and the ledger keep the id. Answers when that was, null when there is
-- no such driver; raises CS409 while something is unfinished. A driver's own transaction erases that driver only.
create function erase_driver(of_driver text, now_at timestamptz) returns timestamptz language plpgsql as $$
declare
    known driver;
    reason text;
    keys bytea[];
    texts text[];
begin
    if current_setting('role') = 'csms_driver' and own_driver() is distinct from of_driver then
        return null;
    end if;
    select * into known from driver where id = of_driver for update;
    if not found or known.erased_at is not null then
        return known.erased_at;
    end if;
    reason := unfinished(of_driver);
    if reason is not null then
        raise exception 'this driver cannot be erased yet: %', reason using errcode = 'CS409';
    end if;

    select array_agg(t.key), array_agg(t.value) filter (where t.value is not null)
    into keys, texts
    from token t
    where t.driver_id = of_driver
    or exists (
        select from driver_identity i
        where i.driver_id = of_driver
        and i.issuer = t.issuer
        and i.subject = t.subject);

    update parked_report p
    set raw = '(erased)'
    where exists (select from unnest(texts) x where strpos(upper(p.raw), upper(x)) > 0);
    update webhook_in w
    set headers = '{}', raw = ''
    where exists (
        select from payment p
        where p.driver_id = of_driver
        and p.psp = w.psp
        and p.psp_ref = w.ref)
    or exists (
        select from authorizations_of(of_driver) a
        where a.psp = w.psp
        and a.psp_ref = w.ref);
    delete from token_budget where token_key = any (keys);
    delete from token_spending where token_key = any (keys);
    delete from token where alias_of = any (keys);
    delete from token where key = any (keys);
    update psp_authorization
    set issuer = '', subject = '', token_key = sha256(convert_to(id::text, 'UTF8'))
    where id in (select a.id from authorizations_of(of_driver) a);
    delete from driver_identity where driver_id = of_driver;
    update session
    set token_key = null, token_masked = null, version = version + 1
    where driver_id = of_driver;
    update bill set token_masked = null where driver_id = of_driver and token_masked is not null;
    update driver set name = null, status = 'blocked', erased_at = now_at where id = of_driver;
    return now_at;
end $$;

-- Functions ------------------------------------------------------------------------------------------------------------

-- What only functions may write, they write as the owner, whose tables these are; found in this schema alone.
do $$
declare
    f record;
begin
    for f in
        select p.oid::regprocedure as named
        from pg_proc p
        where p.pronamespace = current_schema()::regnamespace
        and (p.prosecdef
            or p.proname in ('post', 'settle_debt', 'lock_balance', 'begin_refund', 'append_audit', 'erase_driver', 'installation_key')
            or p.proname like 'ensure\_%')
    loop
        execute format('alter function %s security definer set search_path = %I, pg_temp', f.named, current_schema());
    end loop;
end $$;

-- Everything belongs to csms_owner, and nothing is for everybody.
do $$
declare
    o record;
begin
    for o in
        select format('alter %s %s owner to csms_owner',
            case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
                when 'c' then 'type' else 'table' end, c.oid::regclass) as statement
        from pg_class c
        where c.relnamespace = current_schema()::regnamespace
        and c.relkind in ('r', 'p', 'v', 'm', 'S', 'c')
        and not exists (select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i', 'e') and c.relkind = 'S')
        union all
        select format('alter function %s owner to csms_owner', p.oid::regprocedure)
        from pg_proc p
        where p.pronamespace = current_schema()::regnamespace
        and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    loop
        execute o.statement;
    end loop;
    execute format('revoke execute on all functions in schema %I from public', current_schema());
    execute format('grant execute on all functions in schema %I to csms_writer, csms_staff', current_schema());
    -- What runs with the rights of who calls it opens nothing.
    for o in
        select format('grant execute on function %s to csms_provider, csms_driver', p.oid::regprocedure) as statement
        from pg_proc p
        where p.pronamespace = current_schema()::regnamespace
        and not p.prosecdef
    loop
        execute o.statement;
    end loop;
end $$;
revoke execute on function save, claim_jobs from csms_staff, csms_provider, csms_driver;
-- These run with the owner's rights, and show or change nothing of others.
grant execute on function append_audit to csms_provider, csms_driver;
grant execute on function installation_key, snapshot_at, sum_mark_of to csms_provider;
grant execute on function erase_driver, sum_mark_of to csms_driver;

-- Later migrations: their functions are for nobody else either; guard() is for each of their tables.
alter default privileges revoke execute on functions from public;
alter default privileges grant execute on functions to csms_writer, csms_staff;
alter default privileges grant select, insert, update, delete on tables to csms_writer, csms_staff;
