-- name: queue_command
-- A command to the newest connection of a station; answers its epoch, no row for an unknown station.
insert into command (id, station_id, epoch, action, payload, state, requested_by, created_at)
select $1, station.id, station.epoch, $3, $4::jsonb, 'queued', $5, $6
from station
where station.id = $2
returning epoch;

-- name: mark_command_sent
-- From here on nobody can say that the station did not get it.
update command
set state = 'sent',
    sent_at = $2
where id = $1 and state = 'queued';

-- name: end_command
-- The one end of a command; a second one changes nothing.
update command
set state = $2,
    answer = $3::jsonb,
    error = $4,
    ended_at = $5
where id = $1 and state in ('queued', 'sent');

-- name: end_forgotten_commands
-- Commands whose process died: what was sent may have been heard, what was not was not.
update command
set state = case state when 'sent' then 'unknown' else 'failed' end,
    error = 'the process that sent it ended',
    ended_at = $2
where state in ('queued', 'sent') and created_at < $1;
