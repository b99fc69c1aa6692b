-- needs: pulls
-- may use: replies, receipts
-- Pulls whose outcome is unknown: up to at_risk records may have left the queue without arriving.
--
-- recoverable_until: until then the API can be asked again, by phone number
-- recovered: records of the week before the pull that look-ups added since, for that application and feed
with lookups as (
  select cast(null as varchar) as feed, cast(null as varchar) as sms_sdk_app_id, cast(null as timestamptz) as time
  union all select 'replies', sms_sdk_app_id, reply_time from sms.replies where channel = 'lookup'
  union all select 'receipts', sms_sdk_app_id, user_receive_time from sms.receipts where channel = 'lookup'
),
recovered as (
  select pulls.pull_id, count(*) as records
  from sms.pulls as pulls
  join lookups
    on lookups.feed = pulls.feed
    and lookups.sms_sdk_app_id = pulls.sms_sdk_app_id
    and lookups.time between pulls.requested_at - interval 168 hour and pulls.requested_at
  where pulls.outcome = 'in_doubt'
  group by pulls.pull_id
)
select
  pulls.pull_id, pulls.feed, pulls.sms_sdk_app_id, pulls.region, pulls.request_id, pulls.requested_at,
  pulls.answered_at, pulls.outcome, pulls.records, pulls.at_risk, pulls.error,
  pulls.requested_at + interval 168 hour as recoverable_until,
  coalesce(recovered.records, 0) as recovered
from sms.pulls as pulls
left join recovered on recovered.pull_id = pulls.pull_id
where pulls.outcome = 'in_doubt'
