"""A connection to PostgreSQL that notices when the server has stopped answering."""

from collections.abc import Generator
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg_pool import ConnectionPool

CONNECT_TIMEOUT = 2  # seconds, and psycopg's least
SILENCE = 1.0  # seconds of waiting for the server, after which it is asked whether it is still there

T = TypeVar("T")


class WatchfulConnection(psycopg.Connection[Any]):
    """Breaks off a statement whose server is silent and answers no new connection either, with OperationalError.

    A statement may take as long as it takes. But that of a server that is frozen would take for ever: its kernel goes
    on acknowledging what is sent, so that neither TCP nor a timeout of the server's own notices.
    """

    def wait(self, gen: Generator[Any, Any, T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(self._watched(gen), interval, timeout)
        except psycopg.OperationalError:
            pool = getattr(self, "_pool", None)
            if self.closed and isinstance(pool, ConnectionPool):
                # The others are most likely lost with it, and the pool would wait longer and longer between finding out
                # of one and of the next. In the background, for a frozen server takes its time.
                Thread(target=pool.check, daemon=True).start()
            raise

    def _watched(self, waiting: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """The same, with a look at the clock each time that psycopg wakes up because nothing has come."""
        heard_at = monotonic()
        try:
            wanted = next(waiting)
            while True:
                ready = yield wanted
                if ready:
                    heard_at = monotonic()
                elif monotonic() - heard_at > SILENCE:
                    self._ask_whether_it_answers()
                    heard_at = monotonic()
                wanted = waiting.send(ready)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # a generator's, which its type does not tell

    def _ask_whether_it_answers(self) -> None:
        try:
            psycopg.connect(self.info.dsn, password=self.info.password or None, connect_timeout=CONNECT_TIMEOUT).close()
        except psycopg.errors.ConnectionTimeout:
            self.close()
            raise psycopg.OperationalError("the server has stopped answering") from None
        except psycopg.OperationalError:
            pass  # that is an answer, such as too many connections
