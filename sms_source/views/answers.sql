-- needs: replies
-- What people answered: for each campaign, how many people's last keyword it was. Words that opt out or in are
-- no answers; nor are texts of more than 20 letters and digits, which have no keyword.
--
-- people: different phone numbers; each counts once a campaign, with the last answer
-- people_share: of all people who gave the campaign an answer, from 0 to 1
with last_answers as (
  select replies.sms_sdk_app_id, replies.sign_name, replies.extend_code, replies.keyword
  from sms.unique_replies as replies
  left join sms.opt_out_words as words
    on words.word = replies.keyword
    and (words.country_code is null or words.country_code = replies.country_code)
  where replies.keyword is not null and words.word is null
  qualify row_number() over (
    partition by replies.sms_sdk_app_id, replies.sign_name, replies.extend_code, replies.phone_number
    order by replies.reply_time desc, replies.pulled_at desc, replies.reply_id desc
  ) = 1
)
select
  sms_sdk_app_id,
  sign_name,
  extend_code,
  keyword,
  count(*) as people,
  cast(count(*) as double) / sum(count(*)) over (partition by sms_sdk_app_id, sign_name, extend_code)
    as people_share
from last_answers
group by sms_sdk_app_id, sign_name, extend_code, keyword
