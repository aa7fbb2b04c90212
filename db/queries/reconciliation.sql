-- What psps' statements say of our money, line by line against our books.

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
select b.id as bill_id, b.session_id, b.provider_id, b.currency, b.provider_minor, b.operator_minor, b.host_minor,
    l.psp_ref, l.at
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
