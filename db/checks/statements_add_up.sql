-- What a statement comes to is its bills, its adjustments and what the one before carried over, per currency.
with standing as (
    select t.id, t.provider_id, lag(t.id) over (partition by t.provider_id order by t.from_day) as before
    from statement t
    where t.state <> 'cancelled'),
billed as (
    select s.statement_id, b.currency, sum(b.total_minor) as fees, sum(b.provider_minor) as share,
        coalesce(sum(b.provider_minor) filter (where s.paid_by = 'run'), 0) as by_run
    from statement_bill s
    join bill b on b.id = s.bill_id
    group by s.statement_id, b.currency),
adjusted as (
    select statement_id, currency, sum(amount_minor) as minor
    from statement_adjustment
    group by statement_id, currency)
select t.id as statement, c.currency, s.fees_minor, b.fees, s.provider_minor, b.share, s.by_run_minor, b.by_run,
    s.adjustments_minor, a.minor as adjustments, s.opening_minor, p.carried_minor as carried_before
from standing t
join lateral (
    select currency from statement_sum where statement_id = t.id
    union
    select currency from billed where statement_id = t.id
    union
    select currency from adjusted where statement_id = t.id) c on true
left join statement_sum s on s.statement_id = t.id and s.currency = c.currency
left join billed b on b.statement_id = t.id and b.currency = c.currency
left join adjusted a on a.statement_id = t.id and a.currency = c.currency
left join statement_sum p on p.statement_id = t.before and p.currency = c.currency
where (s.fees_minor, s.provider_minor, s.by_run_minor, s.adjustments_minor, s.opening_minor) is distinct from
    (coalesce(b.fees, 0), coalesce(b.share, 0), coalesce(b.by_run, 0), coalesce(a.minor, 0), coalesce(p.carried_minor, 0))
