-- needs: replies
-- Replies that came more than an hour after they were written.
--
-- delay_seconds: from reply_time to pulled_at
select reply_id, reply_time, pulled_at, epoch(pulled_at) - epoch(reply_time) as delay_seconds
from sms.unique_replies
where pulled_at > reply_time + interval 1 hour
