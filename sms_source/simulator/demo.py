"""Made-up records, as many as one likes."""

import random

_CAMPAIGNS = (  # ExtendCode, SignName, and the weights of opt-outs, scores, confirmations and free text
    ("101", "Harbour Clinic", (5, 0, 80, 15)),
    ("102", "Northwind Parcel", (10, 70, 0, 20)),
    ("201", "湖畔书店", (45, 0, 10, 45)),
    ("202", "青山健身", (25, 35, 25, 15)),
    ("", "Harbour Clinic", (20, 0, 0, 80)),
)
_TEXTS = (
    ("T", "TD", "T", "td", "退订", "STOP", "Stop", "退订 ", "T退订", "stop please", "别再发了,退订"),
    ("5", "4", "5", "3", "2", "1", "5分", "4 - fast, thank you", "1 分，太慢了"),
    ("Y", "N", "y", "好的", "OK", "ok 👍", "Yes", "收到", "可以", "No", "不行，改到周五", "Y!"),
    ("请问几点开门？", "谢谢 🙏", "Très bien, merci ☕️", 'Is "2 for 1" still on?', "你好，\n换个地址", "？"),
)
_NUMBERS = (("86", "12", 9), ("1", "20255501", 2), ("44", "7700900", 3))  # country, prefix, further digits
_CODES = (
    "MI:0024",
    "MK:0012",
    "MK0001",
    "12",
    "012",
    "UNDELIV_601",
    "EXPIRED",
    "REJECTD",
    "MX:0012",
    "TUIDING",
)


def demo_replies(count: int, *, seed: int, now: int) -> list[dict[str, str | int]]:
    """Return `count` made-up replies of the days before `now` (Unix time), oldest first.

    Opt-outs, survey scores, confirmations and free text; the ExtendCode tells the campaign. The numbers are
    in E.164 and nobody's: Chinese ones begin with an unassigned 12, American and British ones are those
    reserved for fiction. Some people reply more than once, and now and then two replies are equal in every
    field.
    """
    generator = random.Random(seed)
    numbers = generator.choices(_NUMBERS, (90, 5, 5), k=count * 2 // 3 + 1)
    people = [(country, f"{prefix}{generator.randrange(10**n):0{n}}") for country, prefix, n in numbers]
    ages = (int(generator.expovariate(1 / 86400)) % (6 * 86400) for _ in range(count))
    records: list[dict[str, str | int]] = []
    for seconds in sorted(ages, reverse=True):
        extend_code, sign_name, weights = generator.choice(_CAMPAIGNS)
        country_code, subscriber_number = generator.choice(people)
        records.append(
            {
                "ExtendCode": extend_code,
                "CountryCode": country_code,
                "PhoneNumber": f"+{country_code}{subscriber_number}",
                "SubscriberNumber": subscriber_number,
                "SignName": sign_name,
                "ReplyContent": generator.choice(generator.choices(_TEXTS, weights)[0]),
                "ReplyTime": now - seconds,
            }
        )
    for twin in range(9, count, 97):
        records[twin] = dict(records[twin - 1])
    return records


def demo_receipts(count: int, *, seed: int, now: int) -> list[dict[str, str | int | None]]:
    """Return `count` made-up receipts of the days before `now` (Unix time), oldest first.

    One in ten is a failure, with a carrier's code; a number may have several. The numbers are nobody's, as
    those of `demo_replies`, and for the same seed some are the same.
    """
    generator = random.Random(seed)
    people = [
        (reply["CountryCode"], reply["SubscriberNumber"]) for reply in demo_replies(count, seed=seed, now=now)
    ]
    ages = sorted((generator.randrange(6 * 86400) for _ in range(count)), reverse=True)
    records: list[dict[str, str | int | None]] = []
    for seconds in ages:
        country_code, subscriber_number = generator.choice(people)
        is_failed = generator.random() < 0.1
        records.append(
            {
                "UserReceiveTime": now - seconds,
                "CountryCode": country_code,
                "SubscriberNumber": subscriber_number,
                "PhoneNumber": f"+{country_code}{subscriber_number}",
                "SerialNo": f"5000:{generator.randrange(10**27, 10**28)}",
                "ReportStatus": "FAIL" if is_failed else "SUCCESS",
                "Description": generator.choice(_CODES) if is_failed else "DELIVRD",
                "SessionContext": generator.choice((None, "", "order-1234")),
            }
        )
    return records
