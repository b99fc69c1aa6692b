-- needs: replies, receipts
-- How many of those whom a message reached replied to it: by UTC day of the receipt, application and the context
-- that the sender gave the message. Only the delivered count: no receipt is not a failure.
--
-- delivered: people with a receipt SUCCESS
-- replied: people with a reply that reply_attributions gives to such a receipt
-- reply_rate: replied of delivered, from 0 to 1
-- median_response_seconds: of these replies
-- opted_out: people with an opt-out keyword among these replies
with answered as (
  select attributions.receipt_id, attributions.response_seconds, opt_outs.reply_id as opt_out_id
  from sms.reply_attributions as attributions
  left join (
    select replies.reply_id
    from sms.unique_replies as replies
    left join sms.opt_out_words as everywhere
      on everywhere.word = replies.keyword and everywhere.country_code is null and everywhere.meaning = 'opt_out'
    left join sms.opt_out_words as domestic
      on domestic.word = replies.keyword
      and domestic.country_code = replies.country_code
      and domestic.meaning = 'opt_out'
    where everywhere.word is not null or domestic.word is not null
  ) as opt_outs
    on opt_outs.reply_id = attributions.reply_id
)
select
  date '1970-01-01' + receipts.day as day,
  receipts.sms_sdk_app_id,
  receipts.session_context,
  count(distinct receipts.phone_number) as delivered,
  count(distinct case when answered.receipt_id is not null then receipts.phone_number end) as replied,
  cast(count(distinct case when answered.receipt_id is not null then receipts.phone_number end) as double)
    / count(distinct receipts.phone_number) as reply_rate,
  median(answered.response_seconds) as median_response_seconds,
  count(distinct case when answered.opt_out_id is not null then receipts.phone_number end) as opted_out
from (
  -- Days since 1970: to group by, a number is cheaper than a date.
  select
    cast(floor(epoch(user_receive_time) / 86400) as integer) as day,
    sms_sdk_app_id, session_context, phone_number, receipt_id
  from sms.unique_receipts
  where report_status = 'SUCCESS'
) as receipts
left join answered on answered.receipt_id = receipts.receipt_id
group by receipts.day, receipts.sms_sdk_app_id, receipts.session_context
