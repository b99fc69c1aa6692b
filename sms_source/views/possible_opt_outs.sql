-- needs: replies
-- Replies that are no keyword but read like a wish to get no more messages, of people who are not in opt_outs for
-- that application and sign. For a person to read: United States rules count any reasonable wording.
--
-- phrase: what was found in the text, the longest where several are; letters' case, spaces and punctuation aside
with texts as (
  select distinct reply_content from sms.unique_replies where reply_content is not null
),
found as (
  select texts.reply_content, phrases.phrase
  from (
    select
      reply_content,
      translate(lower(reply_content), ' ''’‘`´"“”.,;:!?…-_*()~，。；：！？、（）～' || chr(9) || chr(10) || chr(13), '') as squeezed
    from texts
  ) as texts
  join (
    select phrase, translate(phrase, ' ''', '') as squeezed
    from read_csv('opt_out_phrases.csv', all_varchar = true) as phrases
  ) as phrases
    on strpos(texts.squeezed, phrases.squeezed) > 0
  qualify row_number() over (
    partition by texts.reply_content order by length(phrases.phrase) desc, phrases.phrase
  ) = 1
)
select
  replies.reply_id,
  replies.sms_sdk_app_id,
  replies.sign_name,
  replies.phone_number,
  replies.reply_time,
  replies.reply_content,
  found.phrase
from sms.unique_replies as replies
join found on found.reply_content = replies.reply_content
left join sms.opt_out_words as words
  on words.word = replies.keyword
  and (words.country_code is null or words.country_code = replies.country_code)
where words.word is null and not exists (
  select 1
  from sms.opt_outs as opt_outs
  where opt_outs.phone_number = replies.phone_number
    and opt_outs.sms_sdk_app_id is not distinct from replies.sms_sdk_app_id
    and opt_outs.sign_name is not distinct from replies.sign_name
)
