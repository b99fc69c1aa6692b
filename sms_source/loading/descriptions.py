"""What each column means: dlt keeps it in its schema, and shows it where it shows the tables."""

_RECORD = {
    "pull_id": "The pull that brought it, a row of pulls; that of a callback or a look-up has none.",
    "channel": "How it came: queue, callback or lookup.",
    "sms_sdk_app_id": "The application's id in the SMS console.",
    "region": "The region of the queue.",
    "phone_number": "The person's number in E.164, such as +8615291990000.",
    "country_code": "The number's country code, such as 86.",
    "subscriber_number": "The number in its national form.",
    "request_id": "Tencent Cloud's id of the request; its support asks for it.",
    "pulled_at": "When the answer that brought it arrived, UTC.",
}

DESCRIPTIONS: dict[str, dict[str, str]] = {
    "replies": {
        "reply_id": "The reply's id: the pull that brought it, and its 0-based place in the answer; "
        "callback/ and a digest of a pushed one; lookup/, a digest and a number of one that was looked up.",
        **_RECORD,
        "reply_time": "When the person replied, UTC.",
        "sign_name": "The SMS signature of the message replied to.",
        "extend_code": "The extension of the number replied to; it tells campaigns apart.",
        "reply_content": "What the person wrote.",
        "keyword": "The text in NFKC and upper case, letters and digits alone; null beyond 20 characters.",
    },
    "receipts": {
        "receipt_id": "The receipt's id: the pull that brought it, and its 0-based place in the answer; "
        "callback/ and a digest of a pushed one; lookup/, a digest and a number of one that was looked up.",
        **_RECORD,
        "user_receive_time": "When the person received the message, UTC; null when the carrier told none.",
        "serial_no": "What sending the message returned.",
        "report_status": "SUCCESS or FAIL.",
        "description": "The carrier's code, such as DELIVRD.",
        "session_context": "What the sender gave along with the message, if the account has it enabled.",
    },
    "pulls": {
        "pull_id": "The drain, and the pull's number in it.",
        "feed": "The queue's feed: replies or receipts.",
        "sms_sdk_app_id": "The application's id in the SMS console.",
        "region": "The region of the queue.",
        "request_id": "Tencent Cloud's id of the request; null when no answer told it.",
        "requested_at": "When the request was announced, UTC.",
        "answered_at": "When its answer arrived, UTC; null when none did.",
        "outcome": "answered, or in_doubt: the outcome is unknown.",
        "records": "The records that it brought.",
        "at_risk": "The largest number of records that a pull in doubt can have lost.",
        "error": "Why the outcome is unknown; null when it is known.",
    },
    "rejected_records": {
        "feed": "The feed that it came from: replies or receipts.",
        "pull_id": "The pull that brought it: a row of pulls; callback/ and a digest of a pushed record; "
        "lookup/, a digest and a number of one that was looked up.",
        "request_id": "Tencent Cloud's id of the request; its support asks for it.",
        "position": "Its 0-based place in the answer.",
        "sms_sdk_app_id": "The application's id in the SMS console.",
        "reason": "Why it does not fit.",
        "record": "The record as it came.",
        "pulled_at": "When the answer that brought it arrived, UTC.",
    },
}
