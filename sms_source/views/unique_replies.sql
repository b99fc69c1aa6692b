-- needs: replies
-- Each reply once, whichever channels brought it: of each content (application, number, time, text, sign and
-- extend code) as many as the channel that brought most of it. Of equal ones the queue's stays, then the
-- callback's, then the look-up's. An absent text equals an empty one. A callback that does not tell its
-- application is a copy of what tells one. Costs nothing while one channel has rows.
select
  reply_id, pull_id, channel, sms_sdk_app_id, region, reply_time, phone_number, country_code, subscriber_number,
  sign_name, extend_code, reply_content, keyword, request_id, pulled_at, _dlt_load_id
from sms.replies
where channel = 'queue'
union all
select
  reply_id, pull_id, channel, sms_sdk_app_id, region, reply_time, phone_number, country_code, subscriber_number,
  sign_name, extend_code, reply_content, keyword, request_id, pulled_at, _dlt_load_id
from sms.replies
where channel in ('callback', 'lookup') and reply_id not in (
  -- Number the copies of a content within each channel: the first of one is the first of the other.
  select reply_id
  from (
    select
      reply_id,
      row_number() over (
        partition by app, phone_number, reply_time, content, sign, extend, copy
        order by case channel when 'queue' then 1 when 'callback' then 2 else 3 end
      ) as preference
    from (
      select
        replies.reply_id, replies.channel,
        contested.app, contested.phone_number, contested.reply_time,
        contested.content, contested.sign, contested.extend,
        -- A looked-up record's id says which of equal ones it is: others of them may not have been looked up.
        case
          when regexp_matches(replies.reply_id, '^lookup/[0-9a-f]{32}/[1-9][0-9]{0,8}$')
          then cast(split_part(replies.reply_id, '/', 3) as bigint)
          else
            row_number() over (
              partition by
                contested.app, contested.phone_number, contested.reply_time,
                contested.content, contested.sign, contested.extend, replies.channel
              order by replies.pulled_at, replies.reply_id
            )
        end as copy
      from sms.replies as replies
      join (
        -- The contents that more than one channel brought: none, as a rule, and then nothing above is computed.
        (
          select
            coalesce(sms_sdk_app_id, '') as app, phone_number, reply_time, coalesce(reply_content, '') as content,
            coalesce(sign_name, '') as sign, coalesce(extend_code, '') as extend
          from sms.replies where channel = 'queue'
          intersect
          select
            coalesce(sms_sdk_app_id, ''), phone_number, reply_time, coalesce(reply_content, ''),
            coalesce(sign_name, ''), coalesce(extend_code, '')
          from sms.replies
          -- Says nothing new, and spares a database without a queue's rows the comparison of all others.
          where channel = 'callback' and exists (select 1 from sms.replies where channel = 'queue')
        )
        union
        (
          select
            coalesce(sms_sdk_app_id, ''), phone_number, reply_time, coalesce(reply_content, ''),
            coalesce(sign_name, ''), coalesce(extend_code, '')
          from sms.replies where channel in ('queue', 'callback')
          intersect
          select
            coalesce(sms_sdk_app_id, ''), phone_number, reply_time, coalesce(reply_content, ''),
            coalesce(sign_name, ''), coalesce(extend_code, '')
          from sms.replies where channel = 'lookup'
        )
      ) as contested
        on coalesce(replies.sms_sdk_app_id, '') = contested.app
        and replies.phone_number = contested.phone_number
        and replies.reply_time = contested.reply_time
        and coalesce(replies.reply_content, '') = contested.content
        and coalesce(replies.sign_name, '') = contested.sign
        and coalesce(replies.extend_code, '') = contested.extend
    ) as numbered
  ) as preferred
  where preference > 1
)
and reply_id not in (
  -- The callbacks that do not tell their application, as far as there are copies that do.
  select unnamed.reply_id
  from (
    select
      reply_id, phone_number, reply_time, coalesce(reply_content, '') as content, coalesce(sign_name, '') as sign,
      coalesce(extend_code, '') as extend,
      row_number() over (
        partition by
          phone_number, reply_time, coalesce(reply_content, ''), coalesce(sign_name, ''), coalesce(extend_code, '')
        order by pulled_at, reply_id
      ) as copy
    from sms.replies
    where channel = 'callback' and sms_sdk_app_id is null
  ) as unnamed
  join (
    select phone_number, reply_time, content, sign, extend, sum(copies) as copies
    from (
      select app, phone_number, reply_time, content, sign, extend, max(copies) as copies
      from (
        select
          sms_sdk_app_id as app, channel, phone_number, reply_time, coalesce(reply_content, '') as content,
          coalesce(sign_name, '') as sign, coalesce(extend_code, '') as extend, count(*) as copies
        from sms.replies
        where
          sms_sdk_app_id is not null
          and phone_number in (
            select phone_number from sms.replies where channel = 'callback' and sms_sdk_app_id is null
          )
        group by 1, 2, 3, 4, 5, 6, 7
      ) as by_channel
      group by app, phone_number, reply_time, content, sign, extend
    ) as by_application
    group by phone_number, reply_time, content, sign, extend
  ) as named
    on unnamed.phone_number = named.phone_number
    and unnamed.reply_time = named.reply_time
    and unnamed.content = named.content
    and unnamed.sign = named.sign
    and unnamed.extend = named.extend
  where unnamed.copy <= named.copies
)
