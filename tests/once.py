"""A mark for what is the same on both databases, or has its own: done in one of the two runs."""

import pytest
from django.db import connection

once = pytest.mark.skipif(connection.vendor != "postgresql", reason="done in the run on PostgreSQL")
