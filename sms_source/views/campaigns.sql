-- needs: replies
-- How each campaign did: a row for each application, sign and extend code that somebody replied to.
--
-- people: different phone numbers
-- opted_out: people with an opt-out keyword among their replies to it
-- opt_out_share: opted_out of people, from 0 to 1
select
  replies.sms_sdk_app_id,
  replies.sign_name,
  replies.extend_code,
  count(*) as replies,
  count(distinct replies.phone_number) as people,
  count(distinct case when words.meaning = 'opt_out' then replies.phone_number end) as opted_out,
  cast(count(distinct case when words.meaning = 'opt_out' then replies.phone_number end) as double)
    / count(distinct replies.phone_number) as opt_out_share,
  min(replies.reply_time) as first_reply_at,
  max(replies.reply_time) as last_reply_at
from sms.unique_replies as replies
left join sms.opt_out_words as words
  on words.word = replies.keyword
  and (words.country_code is null or words.country_code = replies.country_code)
group by replies.sms_sdk_app_id, replies.sign_name, replies.extend_code
