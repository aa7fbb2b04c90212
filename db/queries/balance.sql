-- Prepaid balances: money in, money back, limits of tokens, debts.

-- name: fund
-- Puts a payment that arrived at a psp into a driver's balance, once; answers posted, replayed or conflict.
select fund($1, $2, $3, $4, $5, $6, $7);

-- name: sessions_short_of_money
-- Running sessions that a driver's balance may pay more of, the oldest first: their stations and wire ids. For most some
-- of it is set aside; a session on vouchers alone, opened after $2, has nothing yet.
with found as (
    select s.station_id, s.ref, s.opened_at, s.id
    from (
        select distinct t.credit as address
        from transfer t
        where t.debit = 'driver:' || $1::text || ':balance'
        and t.credit like 'session:%:held') uses
    join guarded_account g on g.address = uses.address and g.balance > 0
    cross join lateral (
        select * from session s where s.id = split_part(uses.address, ':', 2)::uuid limit 1) s
    where s.state = 'active'
    and s.use = 'charge'
    and s.ended_at is null
    union
    select s.station_id, s.ref, s.opened_at, s.id
    from session s
    where s.driver_id = $1
    and s.opened_at > $2
    and s.state = 'active'
    and s.use = 'charge'
    and s.ended_at is null
    and s.means = 'balance'
    and 'vouchers' = any (s.flags))
select station_id, ref
from found
order by opened_at, id;

-- name: running_limited
-- Running sessions that cost more while time passes, and no more than what is set aside; found by reading all sessions:
-- asked once by each process.
select s.station_id, s.ref
from session s
join tariff t on t.id = s.tariff_id and t.version = s.tariff_version
where s.state = 'active'
and s.use = 'charge'
and (s.hold_minor > 0 or 'vouchers' = any (s.flags))
and s.ended_at is null
and s.opened_at > $1
and t.document::text like '%TIME"%'
order by s.opened_at
limit $2;

-- name: session_to_stop
-- What a station is told about a running session, and what its station keeps itself.
select s.state, s.flags, s.hold_minor, s.ref, s.ended_at, s.connector, t.protocol, t.tx_limits,
    (select max(r.register_wh) from reading r where r.day = s.day and r.session_id = s.id) as highest_wh
from session s
join station t on t.id = s.station_id
where s.station_id = $1
and s.id = $2;

-- name: learn_limits
-- What a station announced of the limits that it keeps itself.
update station
set tx_limits = $2
where id = $1
and tx_limits is distinct from $2;

-- name: refundable
-- A driver's top-ups of which something can go back through psps $3, newest first, locked.
select id, psp, psp_ref, amount_minor - refunded_minor as left_minor
from payment
where driver_id = $1
and currency = $2
and kind = 'top_up'
and psp = any($3::text[])
and refunded_minor < amount_minor
order by at desc, id desc
for update;

-- name: balance_of
-- What a driver has in one currency, in minor units.
select coalesce((
    select balance from guarded_account where address = 'driver:' || $1::text || ':balance' and asset = $2), 0);

-- name: posting_stands
-- Whether something was posted under a key.
select exists (select from posting where key = $1);

-- name: begin_refund
-- Puts part of a payment on its way back, once per id.
select begin_refund($1, $2, $3, $4, $5, $6, $7, $8);

-- name: refunds_pending
-- What is on its way back to a driver, per currency.
select currency, sum(amount_minor)::bigint as minor
from refund
where driver_id = $1
and state = 'pending'
group by currency;

-- name: choose_rest
-- What happens to what a driver does not spend, unless a session says otherwise.
update driver
set rest = $2
where id = $1;

-- name: rest_of
-- A driver's choice.
select rest
from driver
where id = $1;

-- name: token_of_driver
-- A lasting token of a driver by its key, its own or an alias: the key that its limits stand under.
select coalesce(alias_of, key) as key
from token
where key = $2
and driver_id = $1
and not single_use
and psp is null;

-- name: drop_budgets
-- Takes a token's limits away.
delete from token_budget
where token_key = $1;

-- name: add_budget
-- Limits what a token may spend in a session or in each period.
insert into token_budget (token_key, period, currency, limit_minor, time_zone)
values ($1, $2, $3, $4, $5);

-- name: list_budgets
-- A token's limits, with what it has spent by the first day of its periods.
select b.period, b.currency, b.limit_minor, b.time_zone,
    coalesce((
        select u.used_minor
        from token_spending u
        where u.token_key = b.token_key
        and u.period = b.period
        and u.currency = b.currency
        and u.period_began = date_trunc(
            case b.period when 'session' then 'day' else b.period end, $2::timestamptz at time zone b.time_zone)::date
    ), 0) as used_minor
from token_budget b
where b.token_key = $1
order by b.currency, array_position(array['session', 'day', 'week', 'month'], b.period);

-- name: debts
-- Drivers who owe something, by driver; goes on after ($1, $2).
with owing as (
    select distinct split_part(debit, ':', 2) as driver_id, asset as currency
    from transfer
    where debit like 'driver:%:debt')
select o.driver_id, o.currency, owed(o.driver_id, o.currency) as owed_minor, d.state, d.attempts, d.since, d.noticed_at,
    d.next_at
from owing o
left join dunning d on d.driver_id = o.driver_id and d.currency = o.currency and d.state <> 'resolved'
where (o.driver_id, o.currency) > ($1::text, $2::text)
and owed(o.driver_id, o.currency) > 0
order by o.driver_id, o.currency
limit $3;

-- name: unsettled_debts
-- Debt accounts that are not even, with what is asked of them so far; those without a debt any more, too.
with owing as (
    select distinct split_part(debit, ':', 2) as driver_id, asset as currency
    from transfer
    where debit like 'driver:%:debt')
select o.driver_id, o.currency, owed(o.driver_id, o.currency) as owed_minor, d.state, d.attempts, d.since, d.next_at
from owing o
left join dunning d on d.driver_id = o.driver_id and d.currency = o.currency and d.state <> 'resolved'
where owed(o.driver_id, o.currency) <> 0
or d.state is not null
order by o.driver_id, o.currency;

-- name: owed
-- What a driver owes in one currency, in minor units.
select owed($1, $2);

-- name: settle_debt
-- Takes what a driver owes from the balance, as far as it reaches; answers the minor units that moved.
select settle_debt($1, $2, $3, $4);

-- name: open_dunning
-- A debt was seen: the notice goes out now, the next step follows at $5. No row when somebody else saw it first.
insert into dunning (driver_id, currency, state, owed_minor, since, noticed_at, next_at)
values ($1, $2, 'noticed', $3, $4, $4, $5)
on conflict (driver_id, currency) where state <> 'resolved' do nothing
returning since;

-- name: step_dunning
-- The next step of asking; no row when another worker took it.
update dunning
set state = $4, attempts = $5, next_at = $6, owed_minor = $7
where driver_id = $1
and currency = $2
and since = $3
and attempts = $5 - 1
and state in ('noticed', 'retrying')
returning driver_id;

-- name: resolve_dunning
-- A debt is paid: nobody is asked any more, and people need not look.
with paid as (
    update dunning
    set state = 'resolved', resolved_at = $3, next_at = null
    where driver_id = $1
    and currency = $2
    and state <> 'resolved'
    returning driver_id, currency)
update exception e
set resolved_at = $3, resolution = 'paid'
from paid
where e.kind = 'debt'
and e.ref = paid.driver_id || '/' || paid.currency
and e.resolved_at is null;

-- name: relist_debt
-- Puts a debt on people's list, again when it was there and resolved.
insert into exception (id, kind, ref, station_id, details, opened_at)
values ($1, 'debt', $2, null, $3, $4)
on conflict (kind, ref) do update
set details = excluded.details, opened_at = excluded.opened_at, resolved_at = null, resolution = null
where exception.resolved_at is not null;

-- name: unpaid_bills
-- Bills whose fee a psp refused for good and that were neither paid nor changed since: the oldest first, with what no
-- voucher paid.
select b.id as bill_id, b.session_id, b.station_id, b.psp, asked_minor(b) as asked_minor
from posting p
join outbox o on o.key = 'session/' || p.ref || '/collect'
join bill b on b.id = (o.payload ->> 'bill')::uuid
where p.kind = 'debt'
and p.id in (
    select posting_id from transfer where debit = 'driver:' || $1::text || ':debt' and asset = $2)
and not exists (select from posting paid where paid.key = 'session/' || p.ref || '/debt-paid')
and not exists (select from bill later where later.session_id = b.session_id and later.revision > b.revision)
order by b.issued_at, b.id;
