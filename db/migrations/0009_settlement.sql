-- Statements of providers and what is remitted on them, what psps say of our money, chargebacks, tax invoice numbers.

alter table provider
    add column time_zone text not null default 'UTC',
    add column remittance_minimums jsonb not null default '{}',
    add column payout_psp text;
comment on column provider.time_zone is 'IANA zone in which the days of its statements begin and end';
comment on column provider.remittance_minimums is 'currency -> the least that is remitted, in minor units; less is carried over';
comment on column provider.payout_psp is 'the psp that pays its remittances (to psp_accounts there); null: staff pay them by hand';

-- Statements ----------------------------------------------------------------------------------------------------------

create table statement (
    id uuid primary key,
    provider_id text not null references provider,
    time_zone text not null,
    from_day date not null,
    to_day date not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    state text not null default 'draft' check (state in ('draft', 'approved', 'cancelled')),
    drafted_by text not null,
    drafted_at timestamptz not null,
    approved_by text,
    approved_at timestamptz,
    cancelled_by text,
    cancelled_at timestamptz,
    check (from_day < to_day),
    check (starts_at < ends_at),
    constraint statement_two_people check (approved_by <> drafted_by),
    check ((state = 'approved') = (approved_by is not null)),
    check ((state = 'cancelled') = (cancelled_by is not null))
);
comment on table statement is 'the periodic account of one provider: which bills, what was carried over, what is due';
comment on column statement.to_day is 'the first day that does not belong to it any more';
create unique index statement_draft on statement (provider_id) where state = 'draft';
create unique index statement_period on statement (provider_id, from_day) where state <> 'cancelled';
create index statement_listed on statement (drafted_at, id);

-- What a statement comes to in one currency, fixed when it is drafted. Minor units.
create table statement_sum (
    statement_id uuid not null references statement,
    provider_id text not null,
    currency text not null,
    opening_minor bigint not null,
    charges integer not null,
    credits integer not null,
    energy_wh bigint not null,
    fees_minor bigint not null,
    vat_minor bigint not null,
    operator_minor bigint not null,
    operator_vat_minor bigint not null,
    provider_minor bigint not null,
    by_psp_minor bigint not null,
    by_run_minor bigint not null,
    adjustments_minor bigint not null,
    due_minor bigint not null,
    remitted_minor bigint not null check (remitted_minor >= 0),
    carried_minor bigint not null,
    primary key (statement_id, currency),
    check (operator_minor + provider_minor = fees_minor),
    check (by_psp_minor + by_run_minor = provider_minor),
    check (opening_minor + by_run_minor + adjustments_minor = due_minor),
    check (remitted_minor + carried_minor = due_minor)
);
comment on column statement_sum.opening_minor is 'carried over from the statement before';
comment on column statement_sum.by_psp_minor is 'the part of provider_minor that psps pay per bill: listed, never paid again';

-- The bills of a statement. A bill is on one statement at most; those of a draft that is cancelled are free again.
create table statement_bill (
    bill_id uuid primary key,
    statement_id uuid not null references statement,
    provider_id text not null,
    paid_by text not null check (paid_by in ('psp', 'run')),
    late boolean not null,
    issued_at timestamptz not null
);
comment on column statement_bill.issued_at is 'as the bill has it: a statement is read in this order';
comment on column statement_bill.late is 'issued in a period that had been closed before the bill came';
create index statement_bill_listed on statement_bill (statement_id, issued_at, bill_id);

-- What the run takes over from a psp, and gives back when the psp paid after all; each once per bill.
create table statement_adjustment (
    bill_id uuid not null,
    kind text not null check (kind in ('psp_failed', 'psp_paid_late')),
    statement_id uuid not null references statement,
    provider_id text not null,
    currency text not null,
    amount_minor bigint not null,
    primary key (bill_id, kind),
    check (amount_minor <> 0 and (amount_minor > 0) = (kind = 'psp_failed'))
);
create index statement_adjustment_statement on statement_adjustment (statement_id, bill_id);
create index outbox_given_up on outbox (kind, subject) where state = 'given_up';

-- Remittances ---------------------------------------------------------------------------------------------------------

create table remittance (
    id uuid primary key,
    statement_id uuid not null references statement,
    provider_id text not null references provider,
    currency text not null,
    amount_minor bigint not null check (amount_minor > 0),
    state text not null check (state in ('open', 'submitted', 'paid', 'failed', 'returned')),
    psp text,
    account text,
    attempt smallint not null default 0 check (attempt >= 0),
    bank_ref text,
    paid_by text,
    approved_by text not null,
    created_at timestamptz not null,
    ended_at timestamptz,
    unique (statement_id, currency),
    check ((psp is null) = (account is null)),
    check (state <> 'submitted' or attempt > 0)
) with (fillfactor = 80);
comment on column remittance.state is 'open: waits for staff to pay it by hand; submitted: a psp has been told';
comment on column remittance.bank_ref is 'the bank''s name for a payment that staff made';
create index remittance_provider on remittance (provider_id, created_at, id);
create index remittance_listed on remittance (created_at, id);

-- Every try to have a psp pay a remittance: one is live or paid at most.
create table remittance_attempt (
    remittance_id uuid not null references remittance,
    attempt smallint not null check (attempt > 0),
    provider_id text not null,
    psp text not null,
    account text not null,
    state text not null check (state in ('submitted', 'paid', 'failed', 'returned')),
    psp_ref text,
    reason text,
    submitted_at timestamptz not null,
    ended_at timestamptz,
    primary key (remittance_id, attempt)
);
create unique index remittance_attempt_once on remittance_attempt (remittance_id) where state in ('submitted', 'paid');

-- What psps say -------------------------------------------------------------------------------------------------------

create table psp_statement (
    psp text not null,
    day date not null,
    state text not null check (state in ('read', 'unavailable')),
    reason text,
    fees jsonb not null default '{}',
    read_at timestamptz not null,
    primary key (psp, day)
);
comment on column psp_statement.day is 'a day in UTC';
comment on column psp_statement.fees is 'currency -> what the psp kept for its services that day, as posted';

-- One movement of our money at a psp, as it says (theirs) and as we have it (ours).
create table psp_statement_line (
    psp text not null,
    kind text not null check (kind in ('payment', 'refund', 'payout', 'settlement', 'fee', 'chargeback')),
    psp_ref text not null,
    inward boolean not null,
    order_ref text,
    day date not null,
    at timestamptz not null,
    currency text not null,
    theirs_minor bigint,
    fee_minor bigint not null default 0 check (fee_minor >= 0),
    ours text,
    ours_minor bigint,
    verdict text not null check (verdict in ('matched', 'missing_here', 'missing_there', 'amount_differs')),
    primary key (psp, kind, psp_ref, inward),
    check ((verdict = 'missing_there') = (theirs_minor is null)),
    check (verdict <> 'missing_here' or ours_minor is null)
);
comment on column psp_statement_line.inward is 'above 0, to us; a chargeback that was won comes back under the same name';
comment on column psp_statement_line.ours is 'what it is here, for example refund/ID';
create index psp_statement_line_open on psp_statement_line (psp, at) where verdict <> 'matched';
create index psp_statement_line_day on psp_statement_line (psp, day);
create index refund_ended on refund (psp, ended_at) where state = 'paid';

-- Chargebacks ---------------------------------------------------------------------------------------------------------

create table chargeback (
    id uuid primary key,
    psp text not null,
    psp_ref text not null,
    payment_ref text not null,
    payment_id uuid references payment,
    driver_id text,
    session_id uuid,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    from_balance_minor bigint not null default 0 check (from_balance_minor >= 0),
    to_debt_minor bigint not null default 0 check (to_debt_minor >= 0),
    state text not null default 'opened' check (state in ('opened', 'won', 'lost')),
    opened_at timestamptz not null,
    ended_at timestamptz,
    unique (psp, psp_ref),
    check (from_balance_minor + to_debt_minor <= amount_minor)
);
comment on table chargeback is 'a payment that the driver''s bank took back; what of it the driver has to bear';
create index chargeback_listed on chargeback (opened_at, id);
create index chargeback_payment on chargeback (payment_id);

-- Tax invoices --------------------------------------------------------------------------------------------------------

create table tax_invoice_count (
    issuer text not null,
    year integer not null,
    last_number integer not null check (last_number > 0),
    primary key (issuer, year)
);

create table tax_invoice (
    bill_id uuid primary key,
    issuer text not null,
    year integer not null,
    number integer not null,
    made_by text not null,
    made_at timestamptz not null,
    unique (issuer, year, number)
);
comment on table tax_invoice is 'numbers without gaps per issuer (the provider) and year, given on demand and once';

-- Numbers a bill unless it has its number: the count is the lock, so numbers have no gaps.
create function number_tax_invoice(of_bill uuid, from_issuer text, in_year integer, who text, now_at timestamptz)
returns boolean language plpgsql as $$
declare
    next_number integer;
begin
    perform pg_advisory_xact_lock(hashtext('tax_invoice ' || from_issuer || in_year));
    if exists (select from tax_invoice where bill_id = of_bill) then
        return false;
    end if;
    insert into tax_invoice_count as c (issuer, year, last_number)
    values (from_issuer, in_year, 1)
    on conflict (issuer, year) do update set last_number = c.last_number + 1
    returning last_number into next_number;
    insert into tax_invoice (bill_id, issuer, year, number, made_by, made_at)
    values (of_bill, from_issuer, in_year, next_number, who, now_at);
    return true;
end $$;

create trigger tax_invoice_unchangeable before update or delete on tax_invoice
    for each row execute function refuse_change();

-- The balance of a guarded account, kept from other writers until the transaction ends; null when it never had one.
create function lock_balance(of_address text, in_asset text) returns bigint language sql as $$
    select balance
    from guarded_account
    where address = of_address
    and asset = in_asset
    for update
$$;

-- What failed refunds gave back to their drivers is recovered again where the bank had taken the payment back meanwhile:
-- as if the refund had failed first. Called after the postings of the failures, in their transaction.
create function recover_disputed(failed uuid[]) returns void language plpgsql as $$
declare
    due record;
    part bigint;
    from_balance bigint;
    answer text[];
begin
    for due in
        select c.id, r.id as refund_id, r.amount_minor as refund_minor, r.payment_id, r.driver_id, r.currency, r.ended_at
        from refund r
        join chargeback c on c.payment_id = r.payment_id and c.state <> 'won'
        where r.id = any(failed)
        and r.state = 'failed'
        order by r.payment_id, r.id, c.opened_at, c.id
    loop
        select least(due.refund_minor, p.amount_minor - p.refunded_minor,
            c.amount_minor - c.from_balance_minor - c.to_debt_minor)
        into part
        from payment p
        join chargeback c on c.id = due.id
        where p.id = due.payment_id;
        continue when part <= 0;
        from_balance := least(part, coalesce(lock_balance('driver:' || due.driver_id || ':balance', due.currency), 0));
        update payment set refunded_minor = refunded_minor + part where id = due.payment_id;
        update chargeback
        set from_balance_minor = from_balance_minor + from_balance, to_debt_minor = to_debt_minor + part - from_balance
        where id = due.id;
        answer := post(
            array[(gen_random_uuid(), 'chargeback/' || due.id || '/refund/' || due.refund_id, 'chargeback', due.id::text,
                due.ended_at)::posting_in],
            array(
                select (1, row_number() over (), m.debit, 'chargeback', due.currency, m.minor)::transfer_in
                from (values
                    ('driver:' || due.driver_id || ':balance', from_balance),
                    ('driver:' || due.driver_id || ':debt', part - from_balance)) m (debit, minor)
                where m.minor > 0));
        if answer <> '{posted}' then
            raise exception 'chargeback % after refund %: %', due.id, due.refund_id, answer using errcode = 'CS002';
        end if;
    end loop;
end $$;
