-- Every posting has transfers, and every transfer its posting.
select p.id as posting, p.key, 'no transfers' as wrong
from posting p
where not exists (select from transfer t where t.posting_id = p.id)
union all
select t.posting_id, null, 'no posting'
from transfer t
where not exists (select from posting p where p.id = t.posting_id)
