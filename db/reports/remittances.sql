-- Money on its way to payees: bill by bill through a psp, and statement by statement.
-- as_of is refused: a remittance changes until it is paid; `trial-balance` tells what is payable as of an instant
-- $1 from: begun at this time or later
-- $2 to: begun before this time
-- $3 provider: to this provider only
-- $4 after: go on after this row
-- $5 limit: at most so many rows
-- $6 state: `open`, `submitted`, `paid`, `failed` or `returned`
select r.at, r.source, r.id as remittance, r.payee, r.currency, r.amount_minor, r.state, r.attempt, r.psp, r.account,
    r.paid_ref, r.ended_at, json_build_array(r.at, r.id)::text as _cursor,
    json_build_object('path', r.path)::text as _link
from (
    (select i.at, 'bill' as source, i.bill_id || '/' || i.payee || '/' || i.attempt as id, i.payee, i.currency,
        i.amount_minor, i.state, i.attempt, i.psp, i.account, i.psp_ref as paid_ref, null::timestamptz as ended_at,
        '/bills/' || i.bill_id || '/transfers' as path
    from remittance_item i
    where i.at >= coalesce($1::timestamptz, '-infinity')
    and i.at < coalesce($2::timestamptz, 'infinity')
    and i.at >= coalesce(($4::jsonb ->> 0)::timestamptz, '-infinity')
    and ($3::text is null or i.payee = 'provider:' || $3)
    order by i.at)
    union all
    (select m.created_at, 'statement', m.id::text, 'provider:' || m.provider_id, m.currency, m.amount_minor, m.state,
        m.attempt, m.psp, m.account, coalesce(m.bank_ref, a.psp_ref), m.ended_at, '/settlements/' || m.statement_id
    from remittance m
    left join remittance_attempt a on a.remittance_id = m.id and a.attempt = m.attempt
    where m.created_at >= coalesce($1::timestamptz, '-infinity')
    and m.created_at < coalesce($2::timestamptz, 'infinity')
    and m.created_at >= coalesce(($4::jsonb ->> 0)::timestamptz, '-infinity')
    and ($3::text is null or m.provider_id = $3)
    order by m.created_at)) r
where ($6::text is null or r.state = $6)
and ($4::jsonb is null or (r.at, r.id) > (($4::jsonb ->> 0)::timestamptz, $4::jsonb ->> 1))
order by r.at, r.id
limit $5::bigint
