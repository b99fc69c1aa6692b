-- needs: replies
-- When people reply, by weekday and hour of the option views_time_zone.
--
-- weekday: 1 Monday to 7 Sunday
-- hour: 0 to 23
-- people: different phone numbers
select
  -- Days since a Monday, modulo 7.
  date_diff('day', date '1969-12-29', cast(local_time as date)) % 7 + 1 as weekday,
  cast(extract(hour from local_time) as bigint) as hour,
  count(*) as replies,
  count(distinct phone_number) as people
from (
  select reply_time at time zone 'UTC' /* views_time_zone */ as local_time, phone_number
  from sms.unique_replies
) as replies
group by 1, 2
