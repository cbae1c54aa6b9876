"""``python -m tests.inverters.flood PORT SECONDS TOPIC…``: 10 000 messages a second; %d in a topic is a number."""

from __future__ import annotations

import socket
import sys
import time

PER_SECOND, BATCH = 10_000, 200


def text(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def packet(kind: int, body: bytes) -> bytes:
    assert len(body) < 16_384
    length = bytes([len(body)]) if len(body) < 128 else bytes([len(body) % 128 | 128, len(body) // 128])
    return bytes([kind]) + length + body


def main() -> None:
    port, seconds, *topics = sys.argv[1:]
    with socket.create_connection(("127.0.0.1", int(port))) as broker:
        broker.sendall(packet(0x10, text(b"MQTT") + b"\x04\x02\x00\x00" + text(b"flood")))
        broker.recv(4)
        begun_s, sent = time.monotonic(), 0
        while (spent_s := time.monotonic() - begun_s) < float(seconds):
            if sent > spent_s * PER_SECOND:
                time.sleep(0.002)
                continue
            for number in range(sent, sent + BATCH):
                topic = topics[number % len(topics)].replace("%d", str(number))
                broker.sendall(packet(0x30, text(topic.encode()) + b"%d" % number))
            sent += BATCH


if __name__ == "__main__":
    main()
