-- needs: receipts
-- Each receipt once, whichever channels brought it, as unique_replies has each reply; equal are receipts of the
-- same application, number, time, serial number, status and description.
select
  receipt_id, pull_id, channel, sms_sdk_app_id, region, user_receive_time, phone_number, country_code,
  subscriber_number, serial_no, report_status, description, session_context, request_id, pulled_at, _dlt_load_id
from sms.receipts
where channel = 'queue'
union all
select
  receipt_id, pull_id, channel, sms_sdk_app_id, region, user_receive_time, phone_number, country_code,
  subscriber_number, serial_no, report_status, description, session_context, request_id, pulled_at, _dlt_load_id
from sms.receipts
where channel in ('callback', 'lookup') and receipt_id not in (
  -- Number the copies within each channel: the first of one is the first of the other.
  select receipt_id
  from (
    select
      receipt_id,
      row_number() over (
        partition by app, phone_number, time, serial, status, description, copy
        order by case channel when 'queue' then 1 when 'callback' then 2 else 3 end
      ) as preference
    from (
      select
        receipts.receipt_id, receipts.channel,
        contested.app, contested.phone_number, contested.time,
        contested.serial, contested.status, contested.description,
        -- A looked-up record's id says which of equal ones it is: others of them may not have been looked up.
        case
          when regexp_matches(receipts.receipt_id, '^lookup/[0-9a-f]{32}/[1-9][0-9]{0,8}$')
          then cast(split_part(receipts.receipt_id, '/', 3) as bigint)
          else
            row_number() over (
              partition by
                contested.app, contested.phone_number, contested.time,
                contested.serial, contested.status, contested.description, receipts.channel
              order by receipts.pulled_at, receipts.receipt_id
            )
        end as copy
      from sms.receipts as receipts
      join (
        -- What more than one channel brought: nothing, as a rule, and then nothing above is computed.
        (
          select
            coalesce(sms_sdk_app_id, '') as app, phone_number, coalesce(epoch(user_receive_time), 0) as time,
            coalesce(serial_no, '') as serial, report_status as status, coalesce(description, '') as description
          from sms.receipts where channel = 'queue'
          intersect
          select
            coalesce(sms_sdk_app_id, ''), phone_number, coalesce(epoch(user_receive_time), 0),
            coalesce(serial_no, ''), report_status, coalesce(description, '')
          from sms.receipts
          -- Says nothing new, and spares a database without a queue's rows the comparison of all others.
          where channel = 'callback' and exists (select 1 from sms.receipts where channel = 'queue')
        )
        union
        (
          select
            coalesce(sms_sdk_app_id, ''), phone_number, coalesce(epoch(user_receive_time), 0),
            coalesce(serial_no, ''), report_status, coalesce(description, '')
          from sms.receipts where channel in ('queue', 'callback')
          intersect
          select
            coalesce(sms_sdk_app_id, ''), phone_number, coalesce(epoch(user_receive_time), 0),
            coalesce(serial_no, ''), report_status, coalesce(description, '')
          from sms.receipts where channel = 'lookup'
        )
      ) as contested
        on coalesce(receipts.sms_sdk_app_id, '') = contested.app
        and receipts.phone_number = contested.phone_number
        and coalesce(epoch(receipts.user_receive_time), 0) = contested.time
        and coalesce(receipts.serial_no, '') = contested.serial
        and receipts.report_status = contested.status
        and coalesce(receipts.description, '') = contested.description
    ) as numbered
  ) as preferred
  where preference > 1
)
