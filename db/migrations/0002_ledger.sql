-- The ledger: balanced transfers between accounts named by addresses, written by post() alone, never changed.

create table posting (
    id uuid primary key,
    key text not null unique,
    kind text not null,
    ref text not null,
    event_at timestamptz not null,
    posted_at timestamptz not null default now()
);
comment on column posting.key is 'idempotency key, for example session/<id>/settle';

create table transfer (
    posting_id uuid not null,
    seq smallint not null,
    debit text not null check (length(debit) between 3 and 120),
    credit text not null check (length(credit) between 3 and 120),
    asset text not null check (asset ~ '^[A-Z]{3}$'),
    amount bigint not null check (amount > 0),
    xid xid8 not null default pg_current_xact_id(),
    primary key (posting_id, seq),
    check (debit <> credit)
);
comment on column transfer.xid is 'a reader that stops below pg_snapshot_xmin() never misses a transaction in flight';
create index transfer_debit on transfer (debit, asset);
create index transfer_credit on transfer (credit, asset);

create trigger posting_unchangeable before update or delete on posting for each row execute function refuse_change();
create trigger transfer_unchangeable before update or delete on transfer for each row execute function refuse_change();
create trigger posting_untruncatable before truncate on posting for each statement execute function refuse_change();
create trigger transfer_untruncatable before truncate on transfer for each statement execute function refuse_change();

-- Accounts that must never be overdrawn have a row; it is the lock and the check. All others (hot accounts) have none:
-- their balance is the sum of their transfers.
create table guarded_account (
    address text not null,
    asset text not null,
    balance bigint not null check (balance >= 0),
    primary key (address, asset)
) with (fillfactor = 60);

-- Asked twice per transfer: patterns, because a regular expression took a third of all the time that postings take.
create function guarded(address text) returns boolean immutable parallel safe language sql as $$
    select address like 'session:%:held'
        or address like 'driver:%:balance'
        or address like 'rental:%:held'
        or address like 'deposit:%'
        or address like 'voucher:%'
$$;

create type posting_in as (id uuid, key text, kind text, ref text, event_at timestamptz);
-- `posting` is the place of its posting in the other array, from 1.
create type transfer_in as (posting integer, seq smallint, debit text, credit text, asset text, amount bigint);

-- Locks the guarded accounts of these transfers, in one order: whoever comes second waits here, holding none of them.
create function lock_guarded(transfers transfer_in[]) returns void language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
    perform 1
    from (
        select distinct m.address, m.asset
        from unnest(transfers) t
        cross join lateral (values (t.debit, t.asset), (t.credit, t.asset)) m (address, asset)
        where guarded(m.address)
        order by m.address, m.asset) k
    cross join lateral (
        select 1
        from guarded_account g
        where g.address = k.address
        and g.asset = k.asset
        for update) locked;
end $$;

-- Applies postings whose keys are all new. Raises unique_violation or check_violation, and then nothing is written.
-- Look-ups by key only: plans made while the tables were empty must not scan them when they are full.
create function post_new(postings posting_in[], transfers transfer_in[]) returns void language plpgsql
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

    insert into transfer (posting_id, seq, debit, credit, asset, amount)
    select postings[t.posting].id, t.seq, t.debit, t.credit, t.asset, t.amount from unnest(transfers) t;
end $$;

-- The one writer of money: many postings at once, an answer for each, in order:
-- `posted`; `replayed` (this key with these transfers stands already); `insufficient` (a guarded account would fall
-- below zero); `conflict` (the key stands with other transfers). One refusal does not touch the others.
create function post(postings posting_in[], transfers transfer_in[]) returns text[] language plpgsql as $$
declare
    answers text[] := '{}';
    mine transfer_in[];
    stored uuid;
    broken text;
begin
    if coalesce(cardinality(postings), 0) = 0 then
        return answers;
    end if;
    begin
        perform post_new(postings, transfers);
        return array_fill('posted'::text, array[cardinality(postings)]);
    exception when unique_violation or check_violation then
        null;  -- at least one of them cannot be posted: find out which, one by one
    end;
    -- From here on one posting after the other, so all their accounts are locked before, in one order; first rows too.
    perform lock_guarded(transfers);
    insert into guarded_account (address, asset, balance)
    select distinct m.address, m.asset, 0
    from unnest(transfers) t
    cross join lateral (values (t.debit, t.asset), (t.credit, t.asset)) m (address, asset)
    where guarded(m.address)
    order by m.address, m.asset
    on conflict do nothing;
    perform lock_guarded(transfers);
    for i in 1 .. cardinality(postings) loop
        select array_agg((1, t.seq, t.debit, t.credit, t.asset, t.amount)::transfer_in)
        into mine
        from unnest(transfers) t
        where t.posting = i;
        for attempt in 1 .. 3 loop
            select p.id into stored from posting p where p.key = postings[i].key;
            if found then
                answers[i] := case when same_transfers(stored, mine) then 'replayed' else 'conflict' end;
                exit;
            end if;
            begin
                perform post_new(array[postings[i]], mine);
                answers[i] := 'posted';
                exit;
            exception
                when check_violation then
                    get stacked diagnostics broken = constraint_name;
                    if broken <> 'guarded_account_balance_check' then
                        raise;
                    end if;
                    answers[i] := 'insufficient';
                    exit;
                when unique_violation then
                    -- another writer was first with this key or with a guarded account's first row: look again
                    answers[i] := 'conflict';
            end;
        end loop;
    end loop;
    return answers;
end $$;

-- Whether posting `stored` consists of exactly these transfers.
create function same_transfers(stored uuid, proposed transfer_in[]) returns boolean stable language sql as $$
    select coalesce(
        (select array_agg((t.seq, t.debit, t.credit, t.asset, t.amount) order by t.seq)
         from transfer t where t.posting_id = stored)
        =
        (select array_agg((p.seq, p.debit, p.credit, p.asset, p.amount) order by p.seq)
         from unnest(proposed) p),
        false)
$$;

-- Balance of any account, credits minus debits.
create view account_balance with (security_invoker = true) as
select address, asset, sum(amount)::bigint as balance
from (
    select credit as address, asset, amount from transfer
    union all
    select debit, asset, -amount from transfer) entries
group by address, asset;
