-- needs: replies
-- Replies that are no keyword but read like a wish to get no more messages, of people who are not in opt_outs for
-- that application and sign. For a person to read: United States rules count any reasonable wording.
--
-- phrase: what was found in the text, the longest where several are; letters' case, spaces and punctuation aside
with texts as (
  select
    replies.reply_id, replies.sms_sdk_app_id, replies.sign_name, replies.phone_number, replies.reply_time,
    replies.reply_content,
    translate(
      lower(replies.reply_content),
      ' ''’‘`´"“”.,;:!?…-_*()~，。；：！？、（）～' || chr(9) || chr(10) || chr(13),
      ''
    ) as squeezed
  from sms.unique_replies as replies
  left join sms.opt_out_words as words
    on words.word = replies.keyword
    and (words.country_code is null or words.country_code = replies.country_code)
  where words.word is null
    -- Each phrase has one of these: a first look, which spares most texts the search for each phrase.
    and regexp_matches(
      lower(replies.reply_content),
      'stop|unsub|subscri|opt|remov|take|delete|do[^a-z]*not|don[^a-z]*t|quit|cease|no[^a-z]*more|no[^a-z]*longer|alone|lose|revoke|withdraw|never|[发發订訂收扰擾停消联聯我蔽]'
    )
),
found as (
  select
    texts.*,
    phrases.phrase,
    -- By the time, too, so that of a period only its texts are searched.
    row_number() over (
      partition by texts.reply_id, texts.reply_time order by length(phrases.phrase) desc, phrases.phrase
    ) as position
  from texts
  join (
    select phrase, translate(phrase, ' ', '') as squeezed
    from read_csv('opt_out_phrases.csv', all_varchar = true) as phrases
  ) as phrases
    on strpos(texts.squeezed, phrases.squeezed) > 0
)
select reply_id, sms_sdk_app_id, sign_name, phone_number, reply_time, reply_content, phrase
from found
where position = 1 and not exists (
  select 1
  from sms.opt_outs as opt_outs
  where opt_outs.phone_number = found.phone_number
    and opt_outs.sms_sdk_app_id is not distinct from found.sms_sdk_app_id
    and opt_outs.sign_name is not distinct from found.sign_name
)
