"""`python -m bench ingest`: figures as ratios, measured in one run, on a PostgreSQL of their own."""

import sys
from importlib import import_module

from bench.service import postgresql

BENCHMARKS = ["ingest", "analytics", "analyses", "admin", "pages", "scale"]

if __name__ == "__main__":
    names = sys.argv[1:] or BENCHMARKS
    if unknown := set(names) - set(BENCHMARKS):
        sys.exit(f"No such benchmark: {', '.join(sorted(unknown))}. There are: {', '.join(BENCHMARKS)}.")
    for name in names:
        with postgresql():  # a benchmark imports models, so Django must be set up before
            import_module(f"bench.{name}").run()
