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
with ordered as (
  select
    replies.sms_sdk_app_id, replies.sign_name, replies.phone_number, replies.country_code, replies.reply_time,
    replies.keyword, replies.reply_content, replies.reply_id, words.meaning,
    row_number() over (
      partition by replies.sms_sdk_app_id, replies.sign_name, replies.phone_number
      order by replies.reply_time, replies.pulled_at, replies.reply_id
    ) as position
  from sms.unique_replies as replies
  join sms.opt_out_words as words
    on words.word = replies.keyword
    and (words.country_code is null or words.country_code = replies.country_code)
),
counted as (
  select
    *,
    count(*) over (partition by sms_sdk_app_id, sign_name, phone_number) as keywords,
    max(case when meaning = 'opt_in' then position else 0 end) over (
      partition by sms_sdk_app_id, sign_name, phone_number
    ) as last_opt_in
  from ordered
)
select
  counted.sms_sdk_app_id,
  counted.sign_name,
  counted.phone_number,
  counted.country_code,
  counted.reply_time as opted_out_at,
  counted.keyword,
  counted.reply_content,
  counted.reply_id,
  counted.keywords - counted.last_opt_in as requests,
  coalesce(countries.rule, 'at once') as rule,
  -- Days since a Monday, modulo 7. In hours, as a day is not always 24 of them in a session's time zone.
  counted.reply_time + interval 24 hour * cast(
    case date_diff('day', date '1969-12-29', cast(counted.reply_time at time zone 'UTC' as date)) % 7
      when 5 then coalesce(countries.days_from_saturday, '0')
      when 6 then coalesce(countries.days_from_sunday, '0')
      else coalesce(countries.days_from_weekday, '0')
    end as integer
  ) as honour_by,
  blocked.word is not null as blocked_by_tencent
from counted
left join read_csv('countries.csv', all_varchar = true) as countries
  on countries.country_code = counted.country_code
left join read_csv('opt_out_words.csv', all_varchar = true) as blocked
  on blocked.word = counted.keyword and blocked.blocked_by_tencent_in = counted.country_code
where counted.position = counted.last_opt_in + 1
