-- Statements, remittances, reconciliation, chargebacks, tax invoices.

-- name: resolve_exception
-- The exception ($1, $2) needs nobody any more: resolution $3, at $4.
update exception
set resolved_at = $4, resolution = $3
where kind = $1
and ref = $2
and resolved_at is null;

-- name: lock_payment
-- A payment by its psp's name for it, kept from other writers until the transaction ends.
select id, driver_id, session_id, amount_minor, refunded_minor, currency
from payment
where psp = $1
and psp_ref = $2
for update;

-- name: lock_payment_by_id
-- A payment, kept from other writers until the transaction ends.
select id
from payment
where id = $1
for update;

-- name: return_of_payment
-- $2 more (or less) of a payment has gone back.
update payment
set refunded_minor = refunded_minor + $2
where id = $1;

-- name: lock_balance
-- The balance of a guarded account, kept from other writers until the transaction ends.
select lock_balance($1, $2);

-- name: debt_of
-- What is owed on account $1 in currency $2: debits less credits.
select coalesce((select sum(amount) from transfer where debit = $1 and asset = $2), 0)::bigint
    - coalesce((select sum(amount) from transfer where credit = $1 and asset = $2), 0)::bigint;

-- name: find_chargeback
-- A chargeback by its psp's name for it.
select *
from chargeback
where psp = $1
and psp_ref = $2;

-- name: open_chargeback
-- A new chargeback; no row comes back when it is known.
insert into chargeback (
    id, psp, psp_ref, payment_ref, payment_id, driver_id, session_id, amount_minor, currency, from_balance_minor,
    to_debt_minor, opened_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
on conflict (psp, psp_ref) do nothing
returning id;

-- name: end_chargeback
-- The end of an open chargeback; no row comes back when it had ended.
update chargeback
set state = $2, ended_at = $3
where id = $1
and state = 'opened'
returning id;

-- name: list_chargebacks
-- Chargebacks, the newest first, narrowed by state and driver; goes on below ($2, $3).
select *
from chargeback
where (opened_at, id) < ($2::timestamptz, $3::uuid)
and ($4::text is null or state = $4)
and ($5::text is null or driver_id = $5)
order by opened_at desc, id desc
limit $1;

-- name: lock_provider_to_settle
-- A provider with what its statements need, kept from other statement runs until the transaction ends.
select id, name, time_zone, remittance_minimums::text as remittance_minimums, payout_psp,
    psp_accounts ->> payout_psp as payout_account
from provider
where id = $1
for no key update;

-- name: set_settlement_terms
-- How a provider is settled: the zone of its days, the least that is remitted, the psp that pays.
update provider
set time_zone = $2, remittance_minimums = $3::text::jsonb, payout_psp = $4
where id = $1;

-- name: show_settlement_terms
-- How a provider is settled.
select id, time_zone, remittance_minimums::text as remittance_minimums, payout_psp
from provider
where id = $1;

-- name: statement_of_period
-- The statement of exactly this period, unless it was cancelled.
select id
from statement
where provider_id = $1
and from_day = $2
and to_day = $3
and state <> 'cancelled';

-- name: last_statement
-- A provider's last statement that was not cancelled.
select id, from_day, to_day, state
from statement
where provider_id = $1
and state <> 'cancelled'
order by to_day desc
limit 1;

-- name: add_statement
-- A new draft.
insert into statement (
    id, provider_id, time_zone, from_day, to_day, starts_at, ends_at, drafted_by, drafted_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: freeze_bills
-- Puts every bill of a provider that was issued before the end of the period, and is on no statement, on this one.
insert into statement_bill (bill_id, statement_id, provider_id, paid_by, late, issued_at)
select b.id, $1, b.provider_id, b.shares_by, b.issued_at < $3, b.issued_at
from bill b
where b.provider_id = $2
and b.issued_at < $4
and not exists (select from statement_bill s where s.bill_id = b.id);

-- name: take_over_failed_shares
-- What psps did not pay of a provider's bills and will not pay any more becomes payable by the run, once per bill: their
-- settlement was given up with no share live or paid, or the fee was refused for good and is the driver's debt. Of a
-- session's bills that is the one its job names: what a late end took back before was never told to a psp.
with failed as (
    select (o.payload ->> 'bill')::uuid as bill_id
    from outbox o
    where o.kind in ('psp.settle', 'psp.collect')
    and o.state = 'given_up'
    and o.subject like 'session/%'
    and (o.kind = 'psp.settle' or exists (select from posting p where p.key = o.subject || '/debt')))
insert into statement_adjustment (bill_id, kind, statement_id, provider_id, currency, amount_minor)
select distinct b.id, 'psp_failed', $1::uuid, b.provider_id, b.currency, b.provider_minor
from failed f
join bill b on b.id = f.bill_id
join statement_bill s on s.bill_id = b.id
where s.provider_id = $2
and s.paid_by = 'psp'
and b.provider_minor > 0
and not exists (
    select
    from remittance_item i
    where i.bill_id = b.id
    and i.payee = 'provider:' || b.provider_id
    and i.state in ('submitted', 'paid'))
on conflict (bill_id, kind) do nothing;

-- name: take_back_late_shares
-- What the run took over and the psp paid after all is taken back, once per bill.
insert into statement_adjustment (bill_id, kind, statement_id, provider_id, currency, amount_minor)
select a.bill_id, 'psp_paid_late', $1, a.provider_id, a.currency, -a.amount_minor
from statement_adjustment a
where a.provider_id = $2
and a.kind = 'psp_failed'
and a.statement_id <> $1
and exists (
    select
    from remittance_item i
    where i.bill_id = a.bill_id
    and i.payee = 'provider:' || a.provider_id
    and i.state = 'paid')
on conflict (bill_id, kind) do nothing;

-- name: late_shares_of_statement
-- The bills that this statement took over from a psp, which paid them meanwhile.
select a.bill_id
from statement_adjustment a
where a.statement_id = $1
and a.kind = 'psp_failed'
and exists (
    select
    from remittance_item i
    where i.bill_id = a.bill_id
    and i.payee = 'provider:' || a.provider_id
    and i.state in ('submitted', 'paid'));

-- name: add_up_statement
-- A statement's bills and adjustments by currency, and what the statement before ($2, may be null) carried over.
with bills as (
    select b.currency, count(*) filter (where b.kind = 'charge') as charges,
        count(*) filter (where b.kind = 'credit') as credits, sum(b.energy_wh) as energy_wh,
        sum(b.total_minor) as fees_minor, sum(b.vat_minor) as vat_minor, sum(b.operator_minor) as operator_minor,
        sum(b.operator_vat_minor) as operator_vat_minor, sum(b.provider_minor) as provider_minor,
        coalesce(sum(b.provider_minor) filter (where s.paid_by = 'psp'), 0) as by_psp_minor
    from statement_bill s
    join bill b on b.id = s.bill_id
    where s.statement_id = $1
    group by b.currency),
adjusted as (
    select currency, sum(amount_minor) as adjustments_minor
    from statement_adjustment
    where statement_id = $1
    group by currency),
carried as (
    select currency, carried_minor
    from statement_sum
    where statement_id = $2
    and carried_minor <> 0)
select currency, coalesce(c.carried_minor, 0)::bigint as opening_minor, coalesce(b.charges, 0)::integer as charges,
    coalesce(b.credits, 0)::integer as credits, coalesce(b.energy_wh, 0)::bigint as energy_wh,
    coalesce(b.fees_minor, 0)::bigint as fees_minor, coalesce(b.vat_minor, 0)::bigint as vat_minor,
    coalesce(b.operator_minor, 0)::bigint as operator_minor,
    coalesce(b.operator_vat_minor, 0)::bigint as operator_vat_minor,
    coalesce(b.provider_minor, 0)::bigint as provider_minor, coalesce(b.by_psp_minor, 0)::bigint as by_psp_minor,
    coalesce(b.provider_minor - b.by_psp_minor, 0)::bigint as by_run_minor,
    coalesce(a.adjustments_minor, 0)::bigint as adjustments_minor
from bills b
full join adjusted a using (currency)
full join carried c using (currency)
order by currency;

-- name: add_statement_sum
-- What a statement comes to in one currency.
insert into statement_sum (
    statement_id, provider_id, currency, opening_minor, charges, credits, energy_wh, fees_minor, vat_minor,
    operator_minor, operator_vat_minor, provider_minor, by_psp_minor, by_run_minor, adjustments_minor, due_minor,
    remitted_minor, carried_minor)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18);

-- name: psps_of_statement
-- The psps that collected bills of a statement.
select distinct b.psp
from statement_bill s
join bill b on b.id = s.bill_id
where s.statement_id = $1
and b.psp is not null
order by b.psp;

-- name: lock_statement
-- A statement, kept from other writers until the transaction ends.
select *
from statement
where id = $1
for update;

-- name: show_statement
-- A statement with its provider's name.
select s.*, p.name as provider_name
from statement s
join provider p on p.id = s.provider_id
where s.id = $1;

-- name: list_statements
-- Statements, the newest first, narrowed by provider and state; goes on below ($2, $3).
select s.*, p.name as provider_name
from statement s
join provider p on p.id = s.provider_id
where (s.drafted_at, s.id) < ($2::timestamptz, $3::uuid)
and ($4::text is null or s.provider_id = $4)
and ($5::text is null or s.state = $5)
order by s.drafted_at desc, s.id desc
limit $1;

-- name: sums_of_statements
-- What statements come to, by currency.
select *
from statement_sum
where statement_id = any($1::uuid[])
order by statement_id, currency;

-- name: adjustments_of_statement
-- The adjustments of a statement with their sessions.
select a.bill_id, a.kind, a.currency, a.amount_minor, b.session_id, b.station_id, b.issued_at
from statement_adjustment a
join bill b on b.id = a.bill_id
where a.statement_id = $1
order by a.bill_id, a.kind;

-- name: bills_of_statement
-- The bills of a statement in the order of their issue; goes on above ($2, $3).
select b.id, b.kind, b.issued_at, b.session_id, b.corrects, b.station_id, b.tariff_id, b.tariff_version, b.means, b.psp,
    b.started_at, b.ended_at, b.energy_wh, b.currency, b.total_minor, b.vat_minor, b.operator_minor,
    b.operator_vat_minor, b.provider_minor, s.paid_by, s.late
from statement_bill s
join bill b on b.id = s.bill_id
where s.statement_id = $1
and (s.issued_at, s.bill_id) > ($2::timestamptz, $3::uuid)
order by s.issued_at, s.bill_id
limit $4;

-- name: days_of_statement
-- A statement's bills added up by currency and day in its zone.
select b.currency, (b.issued_at at time zone t.time_zone)::date as day, count(*)::integer as bills,
    sum(b.energy_wh)::bigint as energy_wh, sum(b.total_minor)::bigint as fees_minor, sum(b.vat_minor)::bigint as vat_minor,
    sum(b.operator_minor)::bigint as operator_minor, sum(b.provider_minor)::bigint as provider_minor
from statement t
join statement_bill s on s.statement_id = t.id
join bill b on b.id = s.bill_id
where t.id = $1
group by 1, 2
order by 1, 2;

-- name: approve_statement
-- Another than who drafted it has approved a statement.
update statement
set state = 'approved', approved_by = $2, approved_at = $3
where id = $1;

-- name: cancel_statement
-- A draft is given up: its sums stay to be read, its bills are free for another statement.
with cancelled as (
    update statement
    set state = 'cancelled', cancelled_by = $2, cancelled_at = $3
    where id = $1
    returning id),
bills as (
    delete from statement_bill s using cancelled c where s.statement_id = c.id)
delete from statement_adjustment a using cancelled c where a.statement_id = c.id;

-- name: resolve_negative_statement
-- A provider whose statement is not negative any more in currency $2 needs nobody, as of $3.
update exception
set resolved_at = $3, resolution = 'a later statement is not negative'
where kind = 'negative_statement'
and resolved_at is null
and details ->> 'provider' = $1
and details ->> 'currency' = $2;

-- name: ask_reconciliations
-- Jobs to read the statements of psp $1 of days $2, those that were read only if $4; ids $3, one per day.
insert into outbox (id, kind, key, subject, payload)
select d.id, 'psp.reconcile', 'reconcile/' || $1 || '/' || d.day, 'reconcile/' || $1,
    jsonb_build_object('psp', $1::text, 'day', d.day)
from unnest($2::date[], $3::uuid[]) d (day, id)
where $4::boolean
or not exists (select from psp_statement s where s.psp = $1 and s.day = d.day and s.state = 'read')
order by d.day
on conflict (key) do update
set state = 'waiting', attempts = 0, next_at = now(), done_at = null, result = null
where outbox.state <> 'waiting';

-- name: differences_of_statement
-- How far psps $1 are reconciled in the days $2 to $3: days being read, days that cannot be read, and lines from $4 to
-- before $5 that do not match.
select
    (select count(*) from outbox o
     where o.kind = 'psp.reconcile'
     and o.state = 'waiting'
     and o.subject = any(select 'reconcile/' || p from unnest($1::text[]) p)
     and (o.payload ->> 'day')::date between $2::date and $3::date)::integer as days_waiting,
    (select count(*) from psp_statement s
     where s.psp = any($1)
     and s.day between $2::date and $3::date
     and s.state = 'unavailable')::integer as days_unavailable,
    (select count(*) from psp_statement_line l
     where l.psp = any($1)
     and l.verdict <> 'matched'
     and l.at >= $4::timestamptz
     and l.at < $5::timestamptz)::integer as lines_open;

-- name: add_remittance
-- What an approved statement remits in one currency.
insert into remittance (
    id, statement_id, provider_id, currency, amount_minor, state, psp, account, approved_by, created_at)
values ($1, $2, $3, $4, $5, 'open', $6, $7, $8, $9);

-- name: add_remittance_attempt
-- A try to pay a remittance; a live or paid one forbids another.
insert into remittance_attempt (remittance_id, attempt, provider_id, psp, account, state, psp_ref, submitted_at)
values ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: set_remittance
-- Where a remittance stands.
update remittance
set state = $2, attempt = $3, psp = $4, account = $5, ended_at = $6
where id = $1;

-- name: pay_by_hand
-- Staff paid a remittance.
update remittance
set state = 'submitted', attempt = $2, bank_ref = $3, paid_by = $4
where id = $1;

-- name: lock_remittance
-- A remittance, kept from other writers until the transaction ends.
select *
from remittance
where id = $1
for update;

-- name: find_remittance_attempt
-- One attempt of a remittance.
select *
from remittance_attempt
where remittance_id = $1
and attempt = $2;

-- name: attempts_to_pay
-- The attempts of a remittance with what a psp is told.
select a.attempt, a.psp, a.account, a.state, r.amount_minor, r.currency, r.provider_id, s.from_day, s.to_day
from remittance_attempt a
join remittance r on r.id = a.remittance_id
join statement s on s.id = r.statement_id
where a.remittance_id = $1
order by a.attempt;

-- name: end_remittance_attempt
-- How an attempt ended.
update remittance_attempt
set state = $3, psp_ref = coalesce($4, psp_ref), reason = $5, ended_at = $6
where remittance_id = $1
and attempt = $2;

-- name: resolve_remittance
-- What was listed about a remittance needs nobody any more.
update exception
set resolved_at = $3, resolution = $2
where kind in ('remittance_failed', 'remittance_returned', 'remittance_unknown')
and ref like $1
and resolved_at is null;

-- name: reopen_job
-- A job that was given up is tried again under its key; no row comes back when it was not given up.
update outbox
set state = 'waiting', attempts = 0, next_at = now(), done_at = null
where key = $1
and state = 'given_up'
returning id;

-- name: list_remittances
-- Remittances, the newest first, narrowed by provider, state and statement; goes on below ($2, $3).
select *
from remittance
where (created_at, id) < ($2::timestamptz, $3::uuid)
and ($4::text is null or provider_id = $4)
and ($5::text is null or state = $5)
and ($6::uuid is null or statement_id = $6)
order by created_at desc, id desc
limit $1;

-- name: show_remittance
-- One remittance.
select *
from remittance
where id = $1;

-- name: attempts_of_remittances
-- The attempts of remittances.
select *
from remittance_attempt
where remittance_id = any($1::uuid[])
order by remittance_id, attempt;

-- name: keep_statement_lines
-- The lines of psp $1's statement of day $2; a line that was missing there, or read before, is the same line.
insert into psp_statement_line (
    psp, kind, psp_ref, inward, order_ref, day, at, currency, theirs_minor, fee_minor, verdict)
select distinct on (l.kind, l.psp_ref, l.minor > 0)
    $1, l.kind, l.psp_ref, l.minor > 0, l.order_ref, $2, l.at, l.currency, l.minor, l.fee_minor, 'missing_here'
from unnest($3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::bigint[], $9::bigint[])
    l (kind, psp_ref, order_ref, at, currency, minor, fee_minor)
order by l.kind, l.psp_ref, l.minor > 0, l.at desc
on conflict (psp, kind, psp_ref, inward) do update
set order_ref = excluded.order_ref, day = excluded.day, at = excluded.at, currency = excluded.currency,
    theirs_minor = excluded.theirs_minor, fee_minor = excluded.fee_minor,
    verdict = case when psp_statement_line.verdict = 'missing_there' then 'missing_here' else psp_statement_line.verdict end,
    ours = case when psp_statement_line.verdict = 'missing_there' then null else psp_statement_line.ours end,
    ours_minor = case when psp_statement_line.verdict = 'missing_there' then null else psp_statement_line.ours_minor end;

-- name: late_settlements
-- Shares that psp $1 paid, as its statement of day $2 says, although their settlement had been given up here.
select b.id as bill_id, b.session_id, b.provider_id, b.currency, b.provider_minor, b.operator_minor, l.psp_ref, l.at
from psp_statement_line l
join outbox o on o.key = 'session/' || l.order_ref || '/remit' and o.state = 'given_up'
join bill b on b.id = (o.payload ->> 'bill')::uuid
where l.psp = $1
and l.day = $2
and l.kind = 'settlement'
and not l.inward
and l.theirs_minor = -b.total_minor
and l.currency = b.currency
order by b.id;

-- name: pay_late_shares
-- The shares of bill $1 were paid as $2 after all, so the job of session $3 is done.
with job as (
    update outbox
    set state = 'done', done_at = now(), result = jsonb_build_object('settlement', $2::text)
    where key = 'session/' || $3 || '/remit'
    and state = 'given_up')
update remittance_item i
set state = 'paid', psp_ref = $2
where i.bill_id = $1
and i.state in ('submitted', 'failed')
and i.attempt = (select max(m.attempt) from remittance_item m where m.bill_id = i.bill_id and m.payee = i.payee);

-- name: payout_lines
-- What psp $1's statement of day $2 says of remittances: paid, or come back.
select order_ref, psp_ref, inward, at
from psp_statement_line
where psp = $1
and day = $2
and kind = 'payout'
and order_ref is not null
order by at;

-- name: judge_lines
-- Compares the lines of psp $1's statement of day $2 with what we have.
with ours as (
    select l.psp, l.kind, l.psp_ref, l.inward, o.ours, o.minor, o.currency
    from psp_statement_line l
    left join lateral (
        select 'payment/' || p.id as ours, p.amount_minor as minor, p.currency
        from payment p
        where l.kind = 'payment' and l.inward and p.psp = l.psp and p.psp_ref = l.psp_ref
        union all
        select 'refund/' || r.id, case when l.inward then r.amount_minor else -r.amount_minor end, r.currency
        from refund r
        where l.kind = 'refund' and r.psp = l.psp and (not l.inward or r.state = 'failed')
        and r.id = case when l.order_ref ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then l.order_ref::uuid end
        union all
        select 'refund/' || r.id, -r.amount_minor, r.currency
        from payment p
        join refund r on r.payment_id = p.id
        where l.kind = 'refund' and l.order_ref is null and not l.inward and p.psp = l.psp
        and (r.psp_ref = l.psp_ref or p.psp_ref = l.psp_ref and r.amount_minor = -l.theirs_minor)
        union all
        select 'remittance/' || r.id || '/' || a.attempt,
            case when l.inward then r.amount_minor else -r.amount_minor end, r.currency
        from remittance r
        join remittance_attempt a on a.remittance_id = r.id
        where l.kind = 'payout' and a.psp = l.psp and (not l.inward or a.state in ('failed', 'returned'))
        and r.id = case
            when l.order_ref ~ '^remittance-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9]{1,4}$'
            then substr(l.order_ref, 12, 36)::uuid end
        and a.attempt = substr(l.order_ref, 49)::integer
        union all
        select 'bill/' || b.id, (
            select -sum(i.amount_minor)
            from remittance_item i
            where i.bill_id = b.id and i.psp = l.psp and i.state = 'paid'), b.currency
        from outbox j
        join bill b on b.id = (j.payload ->> 'bill')::uuid
        where l.kind = 'settlement' and not l.inward and j.key = 'session/' || l.order_ref || '/remit'
        union all
        select 'chargeback/' || c.id, case when l.inward then c.amount_minor else -c.amount_minor end, c.currency
        from chargeback c
        where l.kind = 'chargeback' and c.psp = l.psp and c.psp_ref = l.psp_ref and (not l.inward or c.state = 'won')
        union all
        select 'psp:' || l.psp || ':fee', l.theirs_minor, l.currency
        where l.kind = 'fee'
        limit 1) o on true
    where l.psp = $1
    and l.day = $2
    and l.theirs_minor is not null)
update psp_statement_line l
set ours = case when o.minor is null then null else o.ours end, ours_minor = o.minor,
    verdict = case
        when o.minor is null then 'missing_here'
        when o.minor = l.theirs_minor and o.currency = l.currency then 'matched'
        else 'amount_differs'
    end
from ours o
where (l.psp, l.kind, l.psp_ref, l.inward) = (o.psp, o.kind, o.psp_ref, o.inward);

-- name: find_missing_there
-- What we have of psp $1 from instant $3 to before $4 (day $2), and its statements do not.
insert into psp_statement_line (psp, kind, psp_ref, inward, order_ref, day, at, currency, ours, ours_minor, verdict)
select $1, m.kind, m.psp_ref, m.minor > 0, m.order_ref, $2::date, m.at, m.currency, m.ours, m.minor, 'missing_there'
from (
    select 'payment' as kind, p.psp_ref, null as order_ref, p.at, p.currency, 'payment/' || p.id as ours,
        p.amount_minor as minor
    from payment p
    where p.psp = $1 and p.at >= $3::timestamptz and p.at < $4::timestamptz
    union all
    select 'refund', coalesce(r.psp_ref, r.id::text), r.id::text, r.ended_at, r.currency, 'refund/' || r.id, -r.amount_minor
    from refund r
    where r.psp = $1 and r.state = 'paid' and r.ended_at >= $3 and r.ended_at < $4
    union all
    select 'payout', coalesce(a.psp_ref, r.id::text), 'remittance-' || r.id || '-' || a.attempt, a.ended_at, r.currency,
        'remittance/' || r.id || '/' || a.attempt, -r.amount_minor
    from remittance_attempt a
    join remittance r on r.id = a.remittance_id
    where a.psp = $1 and a.state = 'paid' and a.ended_at >= $3 and a.ended_at < $4
    union all
    select 'settlement', i.psp_ref, b.session_id::text, max(i.at), i.currency, 'bill/' || b.id,
        -sum(i.amount_minor)::bigint
    from remittance_item i
    join bill b on b.id = i.bill_id
    where i.psp = $1 and i.state = 'paid' and i.psp_ref is not null and i.at >= $3 and i.at < $4
    group by i.psp_ref, b.session_id, b.id, i.currency
    union all
    select 'chargeback', c.psp_ref, null, c.opened_at, c.currency, 'chargeback/' || c.id, -c.amount_minor
    from chargeback c
    where c.psp = $1 and c.opened_at >= $3 and c.opened_at < $4) m
where not exists (
    select
    from psp_statement_line l
    where l.psp = $1
    and l.kind = m.kind
    and l.inward = (m.minor > 0)
    and (l.psp_ref = m.psp_ref or l.ours = m.ours))
on conflict (psp, kind, psp_ref, inward) do nothing;

-- name: drop_found_there
-- What was missing there is no line of its own once another line of the psp turned out to be it.
delete from psp_statement_line m
where m.psp = $1
and m.verdict = 'missing_there'
and exists (
    select
    from psp_statement_line l
    where l.psp = $1
    and l.day = $2
    and l.kind = m.kind
    and l.ours = m.ours
    and l.inward = m.inward
    and l.verdict in ('matched', 'amount_differs'));

-- name: list_differences
-- Lines of psp $1 of day $2 that do not match become exceptions, opened at $3.
insert into exception (id, kind, ref, details, opened_at)
select gen_random_uuid(), 'unmatched_statement_line',
    l.psp || '/' || l.kind || '/' || l.psp_ref || case when l.inward then '/in' else '/out' end,
    jsonb_build_object('psp', l.psp, 'kind', l.kind, 'psp_ref', l.psp_ref, 'order', l.order_ref, 'day', l.day,
        'verdict', l.verdict, 'theirs_minor', l.theirs_minor, 'ours', l.ours, 'ours_minor', l.ours_minor,
        'currency', l.currency),
    $3
from psp_statement_line l
where l.psp = $1
and l.day = $2
and l.verdict <> 'matched'
on conflict (kind, ref) do nothing;

-- name: resolve_differences
-- Differences of psp $1 that are none any more need nobody, as of $2.
update exception e
set resolved_at = $2, resolution = 'it matches now'
where e.kind = 'unmatched_statement_line'
and e.resolved_at is null
and e.details ->> 'psp' = $1
and not exists (
    select
    from psp_statement_line l
    where l.psp = $1
    and l.kind = e.details ->> 'kind'
    and l.psp_ref = e.details ->> 'psp_ref'
    and l.inward = (e.ref like '%/in')
    and l.verdict <> 'matched');

-- name: fees_of_day
-- What psp $1 kept for its services on day $2, by currency.
select currency, sum(fee_minor - case when kind = 'fee' then theirs_minor else 0 end)::bigint as minor
from psp_statement_line
where psp = $1
and day = $2
and theirs_minor is not null
group by currency
order by currency;

-- name: find_psp_statement
-- Whether psp $1's statement of day $2 was read, and the fees that were posted.
select state, fees::text as fees
from psp_statement
where psp = $1
and day = $2
for update;

-- name: keep_psp_statement
-- Psp $1's statement of day $2 was read, or could not be.
insert into psp_statement (psp, day, state, reason, fees, read_at)
values ($1, $2, $3, $4, $5::text::jsonb, $6)
on conflict (psp, day) do update
set state = case when psp_statement.state = 'read' then 'read' else excluded.state end, reason = excluded.reason,
    fees = excluded.fees, read_at = excluded.read_at;

-- name: list_statement_lines
-- Lines of psps' statements, the newest first, narrowed by psp, verdict and whether they match; goes on below ($2, $3).
select *, concat_ws('/', psp, kind, psp_ref, case when inward then 'in' else 'out' end) as place
from psp_statement_line
where (at, concat_ws('/', psp, kind, psp_ref, case when inward then 'in' else 'out' end)) < ($2::timestamptz, $3::text)
and ($4::text is null or psp = $4)
and ($5::text is null or verdict = $5)
and at >= coalesce($6::timestamptz, '-infinity')
and at < coalesce($7::timestamptz, 'infinity')
order by at desc, place desc
limit $1;

-- name: job_is_over
-- Whether no worker works on job $1 any more.
select state <> 'waiting'
from outbox
where key = $1;

-- name: show_receipt
-- A bill with its seller, the zone of its site, and the number of its tax invoice.
select b.*, b.lines::text as lines_text, p.name as provider_name, p.time_zone as provider_zone,
    coalesce(s.time_zone, p.time_zone) as zone, i.issuer, i.year, i.number, i.made_at as invoiced_at
from bill b
join provider p on p.id = b.provider_id
left join site s on s.id = b.site_id
left join tax_invoice i on i.bill_id = b.id
where b.id = $1;

-- name: number_tax_invoice
-- Gives bill $1 the next number of issuer $2 in year $3; false when it has one.
select number_tax_invoice($1, $2, $3, $4, $5);

-- name: days_to_reconcile
-- Days (UTC) from $2 to before $3 on which something of ours moved at psps $1, whose statements were not read.
select m.psp, m.day
from (
    select p.psp, (p.at at time zone 'UTC')::date as day
    from payment p
    where p.psp = any($1::text[])
    and p.at >= $2::timestamptz
    and p.at < $3::timestamptz
    union
    select r.psp, (r.ended_at at time zone 'UTC')::date
    from refund r
    where r.psp = any($1)
    and r.state = 'paid'
    and r.ended_at >= $2
    and r.ended_at < $3
    union
    select a.psp, (a.ended_at at time zone 'UTC')::date
    from remittance_attempt a
    where a.psp = any($1)
    and a.ended_at >= $2
    and a.ended_at < $3) m
where not exists (select from psp_statement s where s.psp = m.psp and s.day = m.day and s.state = 'read')
order by m.psp, m.day;
