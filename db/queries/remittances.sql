-- What approved statements remit, attempt by attempt.

-- name: add_remittance
-- What an approved statement remits in one currency.
insert into remittance (
    id, statement_id, provider_id, currency, amount_minor, state, psp, account, approved_by, created_at)
values ($1, $2, $3, $4, $5, 'open', $6, $7, $8, $9);

-- name: add_remittance_attempt
-- A try to pay a remittance; a live or paid one forbids another.
insert into remittance_attempt (remittance_id, attempt, provider_id, psp, account, state, psp_ref, submitted_at)
values ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: set_remittance
-- Where a remittance stands.
update remittance
set state = $2, attempt = $3, psp = $4, account = $5, ended_at = $6
where id = $1;

-- name: pay_by_hand
-- Staff paid a remittance.
update remittance
set state = 'submitted', attempt = $2, bank_ref = $3, paid_by = $4
where id = $1;

-- name: lock_remittance
-- A remittance, kept from other writers until the transaction ends.
select *
from remittance
where id = $1
for update;

-- name: find_remittance_attempt
-- One attempt of a remittance.
select *
from remittance_attempt
where remittance_id = $1
and attempt = $2;

-- name: attempts_to_pay
-- The attempts of a remittance with what a psp is told.
select a.attempt, a.psp, a.account, a.state, r.amount_minor, r.currency, r.provider_id, s.from_day, s.to_day
from remittance_attempt a
join remittance r on r.id = a.remittance_id
join statement s on s.id = r.statement_id
where a.remittance_id = $1
order by a.attempt;

-- name: end_remittance_attempt
-- How an attempt ended.
update remittance_attempt
set state = $3, psp_ref = coalesce($4, psp_ref), reason = $5, ended_at = $6
where remittance_id = $1
and attempt = $2;

-- name: resolve_remittance
-- What was listed about a remittance needs nobody any more.
update exception
set resolved_at = $3, resolution = $2
where kind in ('remittance_failed', 'remittance_returned', 'remittance_unknown')
and ref like $1
and resolved_at is null;

-- name: list_remittances
-- Remittances, the newest first, narrowed by provider, state and statement; goes on below ($2, $3).
select *
from remittance
where (created_at, id) < ($2::timestamptz, $3::uuid)
and ($4::text is null or provider_id = $4)
and ($5::text is null or state = $5)
and ($6::uuid is null or statement_id = $6)
order by created_at desc, id desc
limit $1;

-- name: show_remittance
-- One remittance.
select *
from remittance
where id = $1;

-- name: attempts_of_remittances
-- The attempts of remittances.
select *
from remittance_attempt
where remittance_id = any($1::uuid[])
order by remittance_id, attempt;
