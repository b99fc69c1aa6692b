-- needs: receipts
-- What became of the messages that carriers reported on, by UTC day. Carriers do not report on all: no receipt is
-- not a failure.
--
-- day: of user_receive_time; null where the carrier gave none
-- messages: receipts
-- people: different phone numbers
-- category: of the description in receipt_codes; if it is not there, delivered for the status SUCCESS, else other
-- meaning: of the description in receipt_codes
with grouped as (
  select
    -- Days since 1970: to group by, a number is cheaper than a date.
    cast(floor(epoch(user_receive_time) / 86400) as integer) as day,
    sms_sdk_app_id,
    report_status,
    description,
    count(*) as messages,
    count(distinct phone_number) as people
  from sms.unique_receipts
  group by 1, 2, 3, 4
),
explained as (
  -- Carriers write a code without its colon, or with a suffix, too: what is listed as it stands wins.
  select described.description, codes.category, codes.meaning
  from (
    select
      description,
      translate(description, ': ', '') as plain,
      regexp_replace(translate(description, ': ', ''), '_[0-9]+$', '') as stem
    from (select distinct description from sms.unique_receipts) as descriptions
  ) as described
  join sms.receipt_codes as codes
    on translate(codes.code, ': ', '') = described.plain or translate(codes.code, ': ', '') = described.stem
  qualify row_number() over (
    partition by described.description
    order by
      case
        when codes.code = described.description then 1
        when translate(codes.code, ': ', '') = described.plain then 2
        else 3
      end,
      codes.code
  ) = 1
)
select
  date '1970-01-01' + grouped.day as day,
  grouped.sms_sdk_app_id,
  grouped.report_status,
  grouped.description,
  grouped.messages,
  grouped.people,
  coalesce(explained.category, case when grouped.report_status = 'SUCCESS' then 'delivered' else 'other' end)
    as category,
  explained.meaning
from grouped
left join explained on explained.description = grouped.description
