-- Money that goes back to drivers through psps, in the order it was asked for, and what became of it.
-- as_of is refused: a refund changes until the psp has paid it; `revenue` and `bills` tell credits as of an instant
-- $1 from: asked for at this time or later
-- $2 to: asked for before this time
-- $3 provider: of this provider's bills only
-- $4 after: go on after this row
-- $5 limit: at most so many rows
-- $6 driver: to this driver
-- $7 state: `pending`, `paid` or `failed`
select r.id as refund, r.asked_at, r.driver_id as driver, r.session_id as session, r.bill_id as credit,
    b.provider_id as provider, r.currency, r.amount_minor, r.psp, p.psp_ref as payment_ref, r.psp_ref as refund_ref,
    r.state, r.reason, r.requested_by, r.ended_at, json_build_array(r.asked_at, r.id)::text as _cursor,
    json_build_object('path', coalesce('/bills/' || r.bill_id || '/transfers',
        '/ledger/accounts/driver:' || r.driver_id || ':balance'))::text as _link
from refund r
join payment p on p.id = r.payment_id
left join bill b on b.id = r.bill_id
where r.asked_at >= greatest(
    coalesce($1::timestamptz, '-infinity'), coalesce(($4::jsonb ->> 0)::timestamptz, '-infinity'))
and r.asked_at < coalesce($2::timestamptz, 'infinity')
and ($3::text is null or b.provider_id = $3)
and ($6::text is null or r.driver_id = $6)
and ($7::text is null or r.state = $7)
and ($4::jsonb is null
    or (r.asked_at, r.id) > (($4::jsonb ->> 0)::timestamptz, ($4::jsonb ->> 1)::uuid))
order by r.asked_at, r.id
limit $5::bigint
