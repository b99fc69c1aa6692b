-- needs: replies, receipts
-- To which message a reply is probably an answer: the last one that arrived at that number from that application
-- in the 72 hours before. Replies without such a message have no row.
--
-- receipt_id: of the latest, as are serial_no and session_context
-- response_seconds: from that receipt to the reply
-- candidates: receipts in the 72 hours; with more than one it is a guess
with candidates as (
  select
    replies.reply_id, receipts.receipt_id, receipts.serial_no, receipts.session_context,
    epoch(replies.reply_time) - epoch(receipts.user_receive_time) as response_seconds,
    -- Counted from the first one on, the last one has them all.
    count(*) over last_last as candidates,
    lead(receipts.receipt_id) over last_last as next_id
  from sms.unique_replies as replies
  join sms.unique_receipts as receipts
    on receipts.phone_number = replies.phone_number
    and receipts.sms_sdk_app_id = replies.sms_sdk_app_id
    and receipts.user_receive_time between replies.reply_time - interval 72 hour and replies.reply_time
  where receipts.report_status = 'SUCCESS'
  window last_last as (
    partition by replies.reply_id
    order by receipts.user_receive_time, receipts.pulled_at, receipts.receipt_id
  )
)
select reply_id, receipt_id, serial_no, session_context, response_seconds, candidates
from candidates
where next_id is null
