-- The ledger as staff read it.

-- name: account_known
-- Whether anything was ever posted to an account.
select exists (select from transfer where credit = $1) or exists (select from transfer where debit = $1);

-- name: account_before
-- The balance of account $1 per asset from events before $2, null for all; credits minus debits.
select asset, balance
from account_before($1, $2)
order by asset;

-- name: account_before_entry
-- The balance of account $1 per asset from the entries below ($2, $3, $4).
select asset, sum(balance)::bigint as balance
from (
    select b.asset, b.balance
    from account_before($1, $2) b
    union all
    select t.asset, case when t.credit = $1 then t.amount else -t.amount end
    from transfer t
    where (t.credit = $1 or t.debit = $1)
    and t.at = $2
    and (t.posting_id, t.seq) < ($3::uuid, $4::smallint)) part
group by asset;

-- name: account_entries
-- One account's transfers from $6 until before $7, the latest event first, as signed amounts; goes on below ($3, $4, $5).
select t.posting_id, t.seq, p.key, p.kind, p.ref, t.at, t.asset,
    case when t.credit = $1 then t.debit else t.credit end as other,
    case when t.credit = $1 then t.amount else -t.amount end as amount
from (
    (select * from transfer
     where credit = $1
     and at <= $3
     and (at, posting_id, seq) < ($3::timestamptz, $4::uuid, $5::smallint)
     and at >= coalesce($6::timestamptz, '-infinity')
     and at < coalesce($7::timestamptz, 'infinity')
     order by at desc, posting_id desc, seq desc
     limit $2)
    union all
    (select * from transfer
     where debit = $1
     and at <= $3
     and (at, posting_id, seq) < ($3::timestamptz, $4::uuid, $5::smallint)
     and at >= coalesce($6::timestamptz, '-infinity')
     and at < coalesce($7::timestamptz, 'infinity')
     order by at desc, posting_id desc, seq desc
     limit $2)) t
join posting p on p.id = t.posting_id
order by t.at desc, t.posting_id desc, t.seq desc
limit $2;

-- name: trial_balance
-- Every account's debits and credits from events before $1 in the snapshot ($2, $3); those of single drivers, uses and
-- vouchers are added up. A provider's staff see their provider's.
select account, asset, debited as debit, credited as credit, credited - debited as balance
from account_sums($1, $2::smallint, $3::text::pg_snapshot)
where own_provider() is null
or account = 'provider:' || own_provider() || ':payable'
order by asset, account;

-- name: bill_transfers
-- The transfers behind bill $1, in the order of events: its settlement, and what its session's money did before and after.
-- Settlements of the session's other bills are theirs.
select p.id as posting, t.seq, p.key, p.kind, p.ref, t.at, t.debit, t.credit, t.asset, t.amount
from bill b
cross join lateral (
    select p.id, p.key, p.kind, p.ref
    from posting p
    where p.ref = b.session_id::text
    and (p.kind <> 'settle' or p.key = 'session/' || b.session_id || '/settle'
        || case when b.revision = 1 then '' else '/' || b.revision end)
    union
    select p.id, p.key, p.kind, p.ref
    from refund r
    join posting p on p.ref in (r.id::text, 'refund/' || r.id)
    where r.session_id = b.session_id
    and r.bill_id = b.id) p
join transfer t on t.posting_id = p.id
where b.id = $1
order by t.at, p.id, t.seq;

-- name: bill_known
-- Whether there is a bill.
select exists (select from bill where id = $1);
