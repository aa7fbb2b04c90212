-- Every battery is a pack, and every pack a battery.
select i.code as item, i.kind, 'no pack' as wrong
from item i
where i.kind = 'battery'
and not exists (select from pack p where p.code = i.code)
union all
select p.code, i.kind, 'no battery'
from pack p
left join item i on i.code = p.code
where i.kind is distinct from 'battery'
