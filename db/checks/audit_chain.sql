-- The trail of what people changed is whole: no event was changed, removed or put in later.
select n, wrong
from broken_audit();
