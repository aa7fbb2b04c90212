-- Sessions, bills, commands, and what needs people's attention: read only, never by the road.

-- name: show_session
-- One session.
select *
from session
where id = $1
and use = 'charge';

-- name: list_sessions
-- Sessions, the newest first, narrowed by what is given; goes on below ($2, $3).
select *
from session
where (opened_at, id) < ($2::timestamptz, $3::uuid)
and ($4::text is null or station_id = $4)
and ($5::text is null or provider_id = $5)
and ($6::text is null or driver_id = $6)
and ($7::text is null or state = $7)
and use = 'charge'
and opened_at >= coalesce($8::timestamptz, '-infinity')
and opened_at < coalesce($9::timestamptz, 'infinity')
order by opened_at desc, id desc
limit $1;

-- name: show_session_bill
-- The bill of a session that stands: its newest charge.
select *, lines::text as lines_text
from bill
where session_id = $1
and kind = 'charge'
order by revision desc
limit 1;

-- name: show_bill
-- One bill.
select *, lines::text as lines_text
from bill
where id = $1;

-- name: list_bills
-- Bills, the newest first, narrowed by what is given; goes on below ($2, $3).
select *, lines::text as lines_text
from bill
where (issued_at, id) < ($2::timestamptz, $3::uuid)
and ($4::text is null or provider_id = $4)
and ($5::text is null or station_id = $5)
and ($6::text is null or driver_id = $6)
and issued_at >= coalesce($7::timestamptz, '-infinity')
and issued_at < coalesce($8::timestamptz, 'infinity')
order by issued_at desc, id desc
limit $1;

-- name: show_command
-- One command and what became of it; its payload may hold a token and stays here.
select id, station_id, action, state, answer::text as answer, error, requested_by, created_at, sent_at, ended_at
from command
where id = $1;

-- name: list_parked_reports
-- Reports that could not be understood, the newest first, without their text; goes on below ($2, $3).
select id, station_id, action, reason, received_at
from parked_report
where (received_at, id) < ($2::timestamptz, $3::uuid)
and ($4::text is null or station_id = $4)
order by received_at desc, id desc
limit $1;

-- name: show_parked_report
-- One report that could not be understood, with its text, which may hold a token.
select id, station_id, action, reason, received_at, raw
from parked_report
where id = $1;
