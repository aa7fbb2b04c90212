-- A job that was given up, or has waited for over an hour, is listed for people.
-- Not so messages to others, whose endpoints are listed when they take nothing for days,
-- and what others will do in their own time: what a psp has taken and will send, a voucher whose station is away.
select o.id as job, o.kind, o.subject, o.state, o.attempts, o.last_error
from outbox o
where (o.state = 'given_up' or o.state = 'waiting' and o.created_at < now() - interval '1 hour')
and o.kind <> 'notify'
and not (o.state = 'waiting' and coalesce(o.result ? 'pending', false))
and not exists (
    select from exception e
    where e.ref in (o.subject, split_part(o.subject, '/', 2), o.key, o.id::text))
