"""`python -m tests.slow_callers`: how soon health is answered while slow connections are held open at the proxy."""

import argparse
import asyncio
import os
import random
import time
from contextlib import suppress

from tests.nginx import proxying
from tests.service import serving

BOUND = 0.2  # seconds, at the 99th percentile


async def hold(port: int, kind: str, chance: random.Random, held: asyncio.Semaphore) -> None:
    """A caller who sends its headers, or its body, a byte at a time, for ever; who is let go comes again."""
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                head = "POST /api/v1/readings/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                writer.write((head if kind == "headers" else f"{head}Content-Length: 100000\r\n\r\n[").encode())
                held.release()
                while not reader.at_eof():
                    await asyncio.sleep(chance.uniform(1, 3))
                    writer.write(b"X-Slow: 1\r\n" if kind == "headers" else b" ")
                    await writer.drain()
            finally:
                writer.close()
        await asyncio.sleep(0.1)


async def ask(port: int, path: str) -> float:
    """Seconds to a whole answer, which has to be 200."""
    begin = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    return time.perf_counter() - begin


async def measured(port: int, callers: int, questions: int, seed: int) -> list[float]:
    """The times of so many questions, half of them live and half ready, while so many slow callers are there."""
    held, chance = asyncio.Semaphore(0), random.Random(seed)
    kinds = ["headers", "body"] * (callers // 2)
    slow = [asyncio.create_task(hold(port, kind, random.Random(chance.random()), held)) for kind in kinds]
    try:
        for _ in kinds:
            await asyncio.wait_for(held.acquire(), 30)
        return [await ask(port, "/health/live" if number % 2 else "/health/ready") for number in range(questions)]
    finally:
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def run(callers: int, questions: int, seed: int) -> list[float]:
    with serving() as service, proxying(service.port) as url:
        return asyncio.run(measured(int(url.rsplit(":", 1)[1]), callers, questions, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=400)
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.environ.setdefault("DATABASE_URL", "sqlite:///:memory:")
    times = run(options.callers, options.questions, options.seed)
    shares = ", ".join(f"{name} {percentile(times, share) * 1000:.1f}" for name, share in
                       (("50 %", 0.5), ("95 %", 0.95), ("99 %", 0.99), ("all", 1)))  # fmt: skip
    print(f"{options.callers} slow callers, {len(times)} questions, milliseconds: {shares}")
    assert percentile(times, 0.99) < BOUND


if __name__ == "__main__":
    main()
