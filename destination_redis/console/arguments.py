"""The command line: its arguments, and the files that they name."""

import argparse
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from destination_redis.console.output import put
from destination_redis.errors import config_error

_DESCRIPTION = "Airbyte destination for Redis, Valkey and the servers that speak their protocol."


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return `command` and the paths `config` and `catalog`.

    Prints what is asked for and exits with 0 for --help and --version; prints the usage and exits with 2 where the
    arguments are wrong.
    """
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", dest="command", required=True)
    commands.add_parser("spec", help="print the JSON schema of the configuration")
    check = commands.add_parser("check", help="check whether a configuration would work")
    write = commands.add_parser("write", help="write the messages on standard input, print the states that are safe")
    for each in (check, write):
        each.add_argument("--config", required=True, help="path to the configuration, a JSON file")
    write.add_argument("--catalog", required=True, help="path to the configured catalog, a JSON file")
    return parser.parse_args(arguments)


def read_config(path: str) -> Mapping[str, Any]:
    """Return the configuration; raises a config error, without anything that the file holds, where there is none."""
    try:
        config = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise config_error(f"The configuration cannot be read: {error.strerror}", error) from error
    except (ValueError, RecursionError) as error:
        place = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise config_error(f"The configuration is no valid JSON{place}") from None
    if not isinstance(config, dict):
        raise config_error("The configuration is no JSON object")
    return config


def read_catalog(path: str) -> bytes:
    """Return the configured catalog as it stands in the file; raises a config error where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise config_error(f"The catalog cannot be read: {error.strerror}", error) from error


class _Version(argparse.Action):
    """Prints the version, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        version = importlib.metadata.version("airbyte-destination-redis")
        put(f"destination-redis {version}\n".encode())
        parser.exit()
