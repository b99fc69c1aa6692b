"""The views: SQL that answers what people asked the warehouse for, beside the tables that it reads.

Each view is a file here, `NAME.sql`, in DuckDB's dialect, which DuckDB runs as it stands in this folder for
a dataset called `sms`. On top of it are the tables that it needs and what it means; `sms_source.views.sql`
reads them, `sms_source.views.creation` puts them into a destination.
"""

from sms_source.views.creation import DIALECTS, create_views
from sms_source.views.sql import VIEWS, view_sql

__all__ = ["DIALECTS", "VIEWS", "create_views", "view_sql"]
