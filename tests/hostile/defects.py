"""Where the service is known to answer wrongly: the cases, by a pattern of their titles, and why."""

import re

DEFECTS: dict[re.Pattern[str], str] = {}
