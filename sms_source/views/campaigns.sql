-- needs: replies
-- How each campaign did: a row for each application, sign and extend code that somebody replied to.
--
-- people: different phone numbers
-- opted_out: people with an opt-out keyword among their replies to it
-- opt_out_share: opted_out of people, from 0 to 1
with people as (
  select
    replies.sms_sdk_app_id, replies.sign_name, replies.extend_code, replies.phone_number,
    count(*) as replies,
    max(case when everywhere.meaning = 'opt_out' or domestic.meaning = 'opt_out' then 1 else 0 end) as opted_out,
    min(replies.reply_time) as first_reply_at,
    max(replies.reply_time) as last_reply_at
  from sms.unique_replies as replies
  -- Apart, as a word may be listed for a country, and by the option opt_out_words everywhere.
  left join sms.opt_out_words as everywhere
    on everywhere.word = replies.keyword and everywhere.country_code is null
  left join sms.opt_out_words as domestic
    on domestic.word = replies.keyword and domestic.country_code = replies.country_code
  group by replies.sms_sdk_app_id, replies.sign_name, replies.extend_code, replies.phone_number
)
select
  sms_sdk_app_id,
  sign_name,
  extend_code,
  cast(sum(replies) as bigint) as replies,
  count(*) as people,
  cast(sum(opted_out) as bigint) as opted_out,
  cast(sum(opted_out) as double) / count(*) as opt_out_share,
  min(first_reply_at) as first_reply_at,
  max(last_reply_at) as last_reply_at
from people
group by sms_sdk_app_id, sign_name, extend_code
