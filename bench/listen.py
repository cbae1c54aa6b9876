"""``python -m bench.listen PORT``: prints the monotonic time at which each limit reaches a subscriber.

A process of its own, so that the simulated devices do not delay what it sees.
"""

from __future__ import annotations

import asyncio
import sys
import time

import aiomqtt


async def listen(port: int) -> None:
    """Subscribe and print until killed."""
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("solar/+/cmd/limit_nonpersistent_absolute")
        async for _message in client.messages:
            sys.stdout.write(f"{time.monotonic()}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(listen(int(sys.argv[1])))
