-- Credits never take back more than was charged: what is left of a session's bills is not below nothing, for nobody.
select session_id as session, sum(total_minor) as total_minor, sum(operator_minor) as operator_minor,
    sum(provider_minor) as provider_minor, sum(host_minor) as host_minor, sum(vat_minor) as vat_minor
from bill
group by session_id
having least(sum(total_minor), sum(operator_minor), sum(provider_minor), sum(host_minor), sum(vat_minor),
    sum(operator_vat_minor)) < 0
