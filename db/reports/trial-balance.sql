-- Every account's debits, credits and balance; accounts of single drivers, uses and vouchers are added up by kind.
-- $1 after: go on after this row
-- $2 limit: at most so many rows
-- $3 as_of: events up to this time, as they were first known for it
-- $4 era: of the snapshot of as_of
-- $5 snapshot: of as_of
select s.account, s.asset as currency, s.debited as debit_minor, s.credited as credit_minor,
    s.credited - s.debited as balance_minor,
    json_build_array(s.asset, s.account)::text as _cursor,
    case when s.account not like '%*%'
        then json_build_object('path', '/ledger/accounts/' || s.account)::text end as _link
from account_sums($3::timestamptz + interval '1 microsecond', $4::smallint, $5::text::pg_snapshot) s
where ($1::jsonb is null or (s.asset, s.account) > ($1::jsonb ->> 0, $1::jsonb ->> 1))
and (own_provider() is null or s.account = 'provider:' || own_provider() || ':payable')
order by s.asset, s.account
limit $2::bigint
