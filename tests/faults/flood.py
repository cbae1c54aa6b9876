"""``python -m tests.faults.flood PORT SECONDS SERIAL``: 10 000 messages a second on 100 000 topics, as raw MQTT."""

from __future__ import annotations

import json
import socket
import sys
import time

PER_SECOND = 10_000
TOPICS = 100_000
BATCH = 500


def text(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def packet(kind: int, body: bytes) -> bytes:
    length, head = len(body), bytes([kind])
    while True:
        length, digit = divmod(length, 128)
        head += bytes([digit | (0x80 if length else 0)])
        if not length:
            return head + body


def topic(number: int, serial: str) -> bytes:
    """Half of them are listened to: below an inverter, and names that nobody knows."""
    number %= TOPICS
    return f"solar/{serial}/x{number}/power".encode() if number % 2 else f"solar/flood/{number}/{number}".encode()


def main() -> None:
    port, seconds, serial = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    with socket.create_connection(("127.0.0.1", port)) as broker:
        broker.sendall(packet(0x10, text(b"MQTT") + b"\x04\x02\x00\x00" + text(b"flood")))
        broker.recv(4)
        begun_s, sent = time.monotonic(), 0
        while (spent_s := time.monotonic() - begun_s) < seconds:
            if sent > spent_s * PER_SECOND:
                time.sleep(0.005)
                continue
            broker.sendall(
                b"".join(packet(0x30, text(topic(sent + i, serial)) + b"%d" % (sent + i)) for i in range(BATCH))
            )
            sent += BATCH
    result = {"messages": sent, "seconds": time.monotonic() - begun_s, "topics": min(sent, TOPICS)}
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
