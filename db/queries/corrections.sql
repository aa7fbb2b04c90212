-- Bills that people correct, and money that goes back.

-- name: bill_to_correct
-- What names a bill's session to the road.
select b.station_id, b.session_id, b.revision, b.currency, s.ref
from bill b
join session s on s.station_id = b.station_id and s.id = b.session_id
where b.id = $1;

-- name: list_session_bills
-- All bills of a session in their order, credits included.
select *, lines::text as lines_text
from bill
where session_id = $1
order by revision;

-- name: show_refund
-- One refund.
select *
from refund
where id = $1;

-- name: list_refunds
-- Refunds, the newest first, narrowed by what is given; goes on below ($2, $3).
select *
from refund
where (asked_at, id) < ($2::timestamptz, $3::uuid)
and ($4::text is null or driver_id = $4)
and ($5::text is null or state = $5)
order by asked_at desc, id desc
limit $1;
