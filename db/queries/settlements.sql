-- Statements of providers: their terms, drafts, bills, adjustments, sums.

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

-- name: lock_shares
-- No share of provider $1 goes to a psp from here to the end of the transaction: one that is going is waited for, and seen.
select pg_advisory_xact_lock(hashtextextended('shares/' || $1::text, 0));

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

-- name: charge_gifts
-- What a provider gave away of the bills on this statement is taken off: they name its share whole. A credit for one
-- that was taken back puts it on again.
insert into statement_adjustment (bill_id, kind, statement_id, provider_id, currency, amount_minor)
select b.id, 'gift', $1::uuid, b.provider_id, b.currency, -g.minor
from statement_bill s
join bill b on b.id = s.bill_id
cross join lateral (
    select sum(u.minor)::bigint as minor
    from voucher_use u
    join voucher v on v.id = u.voucher_id
    where u.session_id = b.session_id
    and u.revision = b.revision
    and v.funded_by = 'provider:' || b.provider_id || ':payable') g
where s.statement_id = $1
and g.minor <> 0
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
        sum(b.host_minor) as host_minor,
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
    coalesce(a.adjustments_minor, 0)::bigint as adjustments_minor, coalesce(b.host_minor, 0)::bigint as host_minor
from bills b
full join adjusted a using (currency)
full join carried c using (currency)
order by currency;

-- name: add_statement_sum
-- What a statement comes to in one currency.
insert into statement_sum (
    statement_id, provider_id, currency, opening_minor, charges, credits, energy_wh, fees_minor, vat_minor,
    operator_minor, operator_vat_minor, provider_minor, by_psp_minor, by_run_minor, adjustments_minor, host_minor,
    due_minor, remitted_minor, carried_minor)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19);

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
    b.operator_vat_minor, b.provider_minor, b.host_minor, s.paid_by, s.late
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
    sum(b.operator_minor)::bigint as operator_minor, sum(b.provider_minor)::bigint as provider_minor,
    sum(b.host_minor)::bigint as host_minor
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
