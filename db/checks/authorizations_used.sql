-- A completed session that a psp pays has used its authorization, and a used authorization has a session.
select s.authorization_id as "authorization", s.id as session, a.state
from session s
left join psp_authorization a on a.id = s.authorization_id
where s.state in ('completed', 'provisional')
and s.authorization_id is not null
and (a.state is null or a.state not in ('used', 'voiding', 'voided'))
union all
select a.id, a.session_id, a.state
from psp_authorization a
where a.state = 'used'
and not exists (select from session s where s.id = a.session_id and s.authorization_id = a.id)
