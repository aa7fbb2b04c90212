-- What stations announce of limits they keep themselves, and what is done about debts.

alter table station add column tx_limits text[];
comment on column station.tx_limits is 'limits of a session that it keeps itself (cost, energy, time); null: never asked';

-- Asking a driver for what is owed: first a notice, then another attempt to collect each unchangeable bill, then people.
create table dunning (
    driver_id text not null,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    state text not null check (state in ('noticed', 'retrying', 'listed', 'resolved')),
    owed_minor bigint not null check (owed_minor >= 0),
    attempts smallint not null default 0,
    since timestamptz not null,
    noticed_at timestamptz not null,
    next_at timestamptz,
    resolved_at timestamptz,
    primary key (driver_id, currency, since)
) with (fillfactor = 70);
comment on column dunning.since is 'when the debt was first seen; one that was paid and made again is another row';
comment on column dunning.attempts is 'how often its bills were tried again since the notice';
create unique index dunning_open on dunning (driver_id, currency) where state <> 'resolved';
create index dunning_due on dunning (next_at) where state in ('noticed', 'retrying');

-- Every debt, for the list of debts and for asking.
create index transfer_debt on transfer (debit, asset) where debit like 'driver:%:debt';

-- Top-ups that were made before payments had rows of their own.
insert into payment (id, psp, psp_ref, driver_id, kind, amount_minor, currency, at)
select p.id, split_part(p.key, '/', 2), substr(p.key, length('top-up/' || split_part(p.key, '/', 2)) + 2),
    split_part(t.credit, ':', 2), 'top_up', t.amount, t.asset, p.event_at
from posting p
join transfer t on t.posting_id = p.id and t.seq = 1
where p.kind = 'top_up'
and p.key like 'top-up/%/%'
on conflict do nothing;

-- What a driver owes now, in minor units; below 0 when more was paid than was owed.
create function owed(of_driver text, in_currency text) returns bigint stable language sql as $$
    select (
        (select coalesce(sum(amount), 0) from transfer
         where debit = 'driver:' || of_driver || ':debt' and asset = in_currency)
        - (select coalesce(sum(amount), 0) from transfer
           where credit = 'driver:' || of_driver || ':debt' and asset = in_currency))::bigint
$$;

-- One at a time for a driver and a currency: two payments at once must not both pay the same debt.
create function lock_debt(of_driver text, in_currency text) returns void language sql as $$
    select pg_advisory_xact_lock(hashtextextended('debt:' || of_driver || ':' || in_currency, 0))
$$;

-- Puts a payment that arrived at a psp into a driver's balance, once per payment; what the driver owes is paid first.
-- Answers `posted`, `replayed`, or `conflict` when the payment was taken before for another driver or amount.
create function fund(
    payment_id uuid, through_psp text, payment_ref text, of_driver text, in_currency text, amount bigint, now_at timestamptz)
returns text language plpgsql as $$
declare
    known payment;
    for_debt bigint;
    answer text;
begin
    perform lock_debt(of_driver, in_currency);
    insert into payment (id, psp, psp_ref, driver_id, kind, amount_minor, currency, at)
    values (payment_id, through_psp, payment_ref, of_driver, 'top_up', amount, in_currency, now_at)
    on conflict (psp, psp_ref) do nothing;
    if not found then
        select * into known from payment where psp = through_psp and psp_ref = payment_ref;
        return case
            when known.kind = 'top_up' and known.driver_id = of_driver and known.currency = in_currency
                and known.amount_minor = amount then 'replayed'
            else 'conflict'
        end;
    end if;
    for_debt := least(greatest(owed(of_driver, in_currency), 0), amount);
    select a into answer from unnest(post(
        array[row(payment_id, 'top-up/' || through_psp || '/' || payment_ref, 'top_up', of_driver, now_at)::posting_in],
        array(
            select row(1, m.seq, 'psp:' || through_psp || ':clearing', m.credit, in_currency, m.minor)::transfer_in
            from (values
                (1::smallint, 'driver:' || of_driver || ':balance', amount - for_debt),
                (2::smallint, 'driver:' || of_driver || ':debt', for_debt)) m (seq, credit, minor)
            where m.minor > 0))) a;
    if answer <> 'posted' then
        raise exception 'top-up %/%: %', through_psp, payment_ref, answer;
    end if;
    -- running sessions of this driver may go on: their holds are raised
    insert into outbox (id, kind, key, subject, payload)
    values (payment_id, 'balance.check', 'payment/' || payment_id || '/check', 'driver/' || of_driver,
        jsonb_build_object('driver', of_driver));
    return answer;
end $$;

-- Takes what a driver owes out of the driver's balance, as far as it reaches; what was paid too much goes back there.
-- Answers the minor units that moved, 0 for none.
create function settle_debt(posting_id uuid, of_driver text, in_currency text, now_at timestamptz)
returns bigint language plpgsql as $$
declare
    debt bigint;
    there bigint;
    minor bigint;
    answer text;
begin
    perform lock_debt(of_driver, in_currency);
    debt := owed(of_driver, in_currency);
    select balance into there from guarded_account
    where address = 'driver:' || of_driver || ':balance' and asset = in_currency
    for update;
    minor := case when debt > 0 then least(debt, coalesce(there, 0)) else -debt end;
    if minor = 0 then
        return 0;
    end if;
    select a into answer from unnest(post(
        array[row(posting_id, 'debt/' || posting_id, 'debt_paid', of_driver, now_at)::posting_in],
        array[row(1, 1,
            'driver:' || of_driver || case when debt > 0 then ':balance' else ':debt' end,
            'driver:' || of_driver || case when debt > 0 then ':debt' else ':balance' end,
            in_currency, minor)::transfer_in])) a;
    if answer <> 'posted' then
        raise exception 'debt of %: %', of_driver, answer;
    end if;
    return minor;
end $$;
