-- needs: replies
-- Whom to stop writing to, and until when: a row for each application, sign and number whose last keyword is an
-- opt-out; last by reply_time, then pulled_at, then reply_id. Holidays are ignored, which errs on the early side.
-- Not legal advice.
--
-- opted_out_at: when the first opt-out after the last opt-in was written
-- keyword: of that reply, as are country_code, reply_content and reply_id
-- requests: opt-outs since then, that one included
-- rule: the time that the law of the country gives, as far as it is known here
-- honour_by: the last moment at which a message may still be sent
-- blocked_by_tencent: Tencent blocks further messages of this sign by itself; if false, the sender must
with worded as (
  select
    replies.sms_sdk_app_id, replies.sign_name, replies.phone_number, replies.country_code, replies.reply_time,
    replies.keyword, replies.reply_content, replies.reply_id,
    -- With the last one first: what the one before this says, and what this one and those after it say.
    lead(coalesce(everywhere.meaning, domestic.meaning)) over last_first as previous_meaning,
    count(*) over last_first as requests,
    count(case when everywhere.meaning = 'opt_in' or domestic.meaning = 'opt_in' then 1 end) over last_first as opt_ins
  from sms.unique_replies as replies
  -- Apart, as a word may be listed for a country, and by the option opt_out_words everywhere.
  left join sms.opt_out_words as everywhere
    on everywhere.word = replies.keyword and everywhere.country_code is null
  left join sms.opt_out_words as domestic
    on domestic.word = replies.keyword and domestic.country_code = replies.country_code
  where everywhere.word is not null or domestic.word is not null
  window last_first as (
    partition by replies.sms_sdk_app_id, replies.sign_name, replies.phone_number
    order by replies.reply_time desc, replies.pulled_at desc, replies.reply_id desc
  )
)
select
  worded.sms_sdk_app_id,
  worded.sign_name,
  worded.phone_number,
  worded.country_code,
  worded.reply_time as opted_out_at,
  worded.keyword,
  worded.reply_content,
  worded.reply_id,
  worded.requests,
  coalesce(countries.rule, 'at once') as rule,
  -- Days since a Monday, modulo 7. In hours, as a day is not always 24 of them in a session's time zone.
  worded.reply_time + interval 24 hour * cast(
    case date_diff('day', date '1969-12-29', cast(worded.reply_time at time zone 'UTC' as date)) % 7
      when 5 then coalesce(countries.days_from_saturday, '0')
      when 6 then coalesce(countries.days_from_sunday, '0')
      else coalesce(countries.days_from_weekday, '0')
    end as integer
  ) as honour_by,
  blocked.word is not null as blocked_by_tencent
from worded
left join read_csv('countries.csv', all_varchar = true) as countries
  on countries.country_code = worded.country_code
left join read_csv('opt_out_words.csv', all_varchar = true) as blocked
  on blocked.word = worded.keyword and blocked.blocked_by_tencent_in = worded.country_code
where worded.opt_ins = 0 and coalesce(worded.previous_meaning, 'opt_in') = 'opt_in'
