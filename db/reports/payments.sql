-- Money that psps took from drivers, in the order it came in, and how much of each payment has gone back.
-- as_of is refused: what of a payment has gone back changes; `trial-balance` tells psps' accounts as of an instant
-- $1 from: taken at this time or later
-- $2 to: taken before this time
-- $3 after: go on after this row
-- $4 limit: at most so many rows
-- $5 driver: of this driver
select p.id as payment, p.at, p.psp, p.psp_ref as payment_ref, p.kind, p.driver_id as driver, p.session_id as session,
    p.currency, p.amount_minor, p.refunded_minor, p.amount_minor - p.refunded_minor as kept_minor,
    json_build_array(p.at, p.id)::text as _cursor,
    json_build_object('path', coalesce('/sessions/' || p.session_id || '/bill',
        '/ledger/accounts/driver:' || p.driver_id || ':balance'))::text as _link
from payment p
where p.at >= greatest(
    coalesce($1::timestamptz, '-infinity'), coalesce(($3::jsonb ->> 0)::timestamptz, '-infinity'))
and p.at < coalesce($2::timestamptz, 'infinity')
and ($5::text is null or p.driver_id = $5)
and ($3::jsonb is null
    or (p.at, p.id) > (($3::jsonb ->> 0)::timestamptz, ($3::jsonb ->> 1)::uuid))
order by p.at, p.id
limit $4::bigint
