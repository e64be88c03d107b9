"""The command-line arguments, and the files they name."""

import argparse
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from destination_redis.console.output import put
from destination_redis.errors import config_error

_DESCRIPTION = "Airbyte destination for Redis, Valkey and servers that speak their protocol."


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return `command` and the paths `config` and `catalog`.

    Exits with 0 after printing --help or --version, and with 2 after printing the usage if the arguments are wrong.
    """
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", dest="command", required=True)
    commands.add_parser("spec", help="print the JSON schema of the configuration")
    check = commands.add_parser("check", help="check whether a configuration would work")
    write = commands.add_parser("write", help="write the messages from standard input, print acknowledged states")
    for each in (check, write):
        each.add_argument("--config", required=True, help="path to the configuration, a JSON file")
    write.add_argument("--catalog", required=True, help="path to the configured catalog, a JSON file")
    return parser.parse_args(arguments)


def read_config(path: str) -> Mapping[str, Any]:
    """Return the configuration; raises a config error, without the file's content, if it cannot be read."""
    try:
        config = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise config_error(f"The configuration cannot be read: {error.strerror}", error) from error
    except (ValueError, RecursionError) as error:
        place = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise config_error(f"The configuration is not valid JSON{place}") from None
    if not isinstance(config, dict):
        raise config_error("The configuration is not a JSON object")
    return config


def read_catalog(path: str) -> bytes:
    """Return the content of the configured catalog's file; raises a config error if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise config_error(f"The catalog cannot be read: {error.strerror}", error) from error


class _Version(argparse.Action):
    """Prints the version, looked up only on demand."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        version = importlib.metadata.version("airbyte-destination-redis")
        put(f"destination-redis {version}\n".encode())
        parser.exit()
