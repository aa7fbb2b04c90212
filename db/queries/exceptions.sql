-- name: list_unsettled
-- Sessions that ended before instant $1 and still lack their start or their payer become exceptions, opened at $2.
insert into exception (id, kind, ref, station_id, details, opened_at)
select gen_random_uuid(), 'session_unsettled', s.id::text, s.station_id,
    jsonb_build_object('session', s.id, 'state', s.state, 'started_at', s.started_at, 'ended_at', s.ended_at), $2
from session s
where s.state in ('pending', 'incomplete')
and s.ended_at < $1
on conflict (kind, ref) do nothing;

-- name: resolve_settled
-- Those of them that were closed after all need nobody any more, as of instant $1.
update exception e
set resolved_at = $1, resolution = 'closed as ' || s.state
from session s
where e.kind = 'session_unsettled'
and e.resolved_at is null
and s.id = e.ref::uuid
and s.closed_at is not null;
