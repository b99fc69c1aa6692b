"""Constants of the API and defaults of the source.

Facts of the API come from the page of `PullSmsReplyStatus`
(https://www.tencentcloud.com/document/product/382/40462) unless a line says otherwise.
"""

API_ENDPOINT = "https://sms.tencentcloudapi.com"
API_VERSION = "2021-01-11"
API_REGION = "ap-guangzhou"
API_LANGUAGE = "en-US"

MAX_PULL_LIMIT = 100
"""Replies that one pull hands out at most; the API refuses a larger `Limit`."""

MAX_PULLS_PER_SECOND = 100
"""Requests a second that the API allows an account for this action."""

PULL_WORKERS = 64
"""Pulls in flight at most. How many are depends on how long one takes and on the rate: 64 reach the API's
ceiling up to 0.6 seconds a pull, the journal's part included."""

MAX_PULL_WORKERS = 256
"""The largest number that `pull_workers` may be."""

PULL_TIMEOUT = 30.0
"""Seconds that one pull may take, from looking up the host's name to the last byte."""

CONNECT_TIMEOUT = 10.0
"""Seconds until a connection stands, TLS included. One that fails has sent nothing, so nothing is lost by
giving up early."""

MAX_BODY_BYTES = 64 << 20
"""Bytes of an answer, unpacked, beyond which it is none: 100 replies of 1,000 Chinese characters, escaped,
are 600 kB."""

JOURNAL_URL = "sms_journal"
JOURNAL_RETENTION_DAYS = 7.0

MIN_KEY_CHARACTERS = 16
"""Of `pseudonym_key` and `callback_token`: a shorter one could be guessed."""

JOURNAL_WAIT_SECONDS = 10.0
"""Seconds to wait for another user of the journal to end."""

JOURNAL_RESERVE = 1 << 20
"""Bytes reserved on the disk for an answer before its request goes out (an answer of 100 replies of
1,000 Chinese characters, escaped, is 600 kB)."""

PACKAGE_RECORDS = 100_000
"""Records after which a load package is closed, so that memory and disk stay flat and the first rows
arrive while a long queue is still being drained."""

PACKAGE_BYTES = 32 << 20
"""Bytes of answers after which a load package is closed."""

BACKLOG_SECONDS = 15.0
"""Seconds after its first record for which a load package is held open while answers come back full."""

TRICKLE_SECONDS = 1.0
"""Seconds after its first record for which a load package is held open while they do not."""

PULLS_AHEAD = 384
"""Answers that wait for their reader at most: what four seconds bring, which is about as long as a full
package takes to be loaded, and archived in a store that is far away, while pulling goes on."""

PULLS_DECODED = 32
"""Of them, those whose records wait decoded; the bodies of the others take a fourth of the memory."""

BYTES_AHEAD = 16 << 20
"""Bytes of answers beyond which no further one waits for its reader."""

TABLE_RECORDS = 10_000
"""Records gathered into one Arrow table before dlt gets it (measured: 10,000 rows load 2 to 3 times as
fast as 100)."""

TABLE_BYTES = 8 << 20
"""Bytes of answers after which a table is handed on even with fewer rows."""

TABLE_SECONDS = 2.0
"""Seconds after which a table is handed on even with fewer rows."""

MAX_NOT_EXECUTED = 8
"""Pulls in a row that were not executed before the drain of an application ends."""

MAX_IN_DOUBT = 5
"""Pulls in a row whose outcome is unknown before the drain of an application ends."""

OLDEST_TIME = 1
NEWEST_TIME = 4_102_444_799
"""The last second of the year 2099: a record's time beyond it is not one."""
