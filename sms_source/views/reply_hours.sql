-- needs: replies
-- When people reply, by weekday and hour of the option views_time_zone.
--
-- weekday: 1 Monday to 7 Sunday
-- hour: 0 to 23
-- people: different phone numbers
with quarters as (
  -- A zone's clock is looked at once for each quarter of an hour, as none differs from UTC by a part of one.
  select
    quarter_hour,
    -- Days since a Monday, modulo 7.
    date_diff('day', date '1969-12-29', cast(local_time as date)) % 7 + 1 as weekday,
    cast(extract(hour from local_time) as bigint) as hour
  from (
    select quarter_hour, to_timestamp(quarter_hour * 900) at time zone 'UTC' /* views_time_zone */ as local_time
    from (
      select distinct cast(floor(epoch(reply_time) / 900) as bigint) as quarter_hour from sms.unique_replies
    ) as replies
  ) as quarters
)
select quarters.weekday, quarters.hour, count(*) as replies, count(distinct replies.phone_number) as people
from sms.unique_replies as replies
join quarters on quarters.quarter_hour = cast(floor(epoch(replies.reply_time) / 900) as bigint)
group by quarters.weekday, quarters.hour
