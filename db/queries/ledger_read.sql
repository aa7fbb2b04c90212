-- The ledger as staff read it.

-- name: account_balances
-- The balance of one account per asset, credits minus debits.
select asset, balance
from account_balance
where address = $1
order by asset;

-- name: account_entries
-- One account's transfers, the newest posting first, as signed amounts; goes on below ($3, $4).
select t.posting_id, t.seq, p.key, p.kind, p.ref, p.event_at, t.asset,
    case when t.credit = $1 then t.debit else t.credit end as other,
    case when t.credit = $1 then t.amount else -t.amount end as amount
from (
    (select * from transfer
     where credit = $1
     and (posting_id, seq) < ($3::uuid, $4::smallint)
     order by posting_id desc, seq desc
     limit $2)
    union all
    (select * from transfer
     where debit = $1
     and (posting_id, seq) < ($3::uuid, $4::smallint)
     order by posting_id desc, seq desc
     limit $2)) t
join posting p on p.id = t.posting_id
order by t.posting_id desc, t.seq desc
limit $2;

-- name: trial_balance
-- Every account's debits and credits up to a time; accounts of single drivers, uses and vouchers are added up.
with entries as (
    select t.credit as address, t.asset, sum(t.amount) as credited, 0 as debited
    from transfer t
    where $1::timestamptz is null
    or exists (select from posting p where p.id = t.posting_id and p.event_at <= $1)
    group by t.credit, t.asset
    union all
    select t.debit, t.asset, 0, sum(t.amount)
    from transfer t
    where $1::timestamptz is null
    or exists (select from posting p where p.id = t.posting_id and p.event_at <= $1)
    group by t.debit, t.asset)
select regexp_replace(address, '^(driver|session|rental|deposit|voucher):[^:]+', '\1:*') as account, asset,
    sum(debited)::bigint as debit, sum(credited)::bigint as credit, sum(credited - debited)::bigint as balance
from entries
group by account, asset
order by asset, account;
