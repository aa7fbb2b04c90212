-- A single-use token belongs to one session at most, the one that it was spent on.
select encode(t.key, 'hex') as token, t.session_id as spent_on, s.id as used_by
from token t
join session s on s.token_key = t.key
where t.single_use
and s.state <> 'invalid'
and t.session_id is distinct from s.id
