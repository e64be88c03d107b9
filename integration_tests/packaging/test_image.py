"""The images: built, looked into, and run as Airbyte runs them."""

import ast
import json
import os
import re
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path

from integration_tests.support.messages import Json, record, state, stream
from integration_tests.support.packaging.environments import pins
from integration_tests.support.packaging.image import Image, store
from integration_tests.support.servers.server import Server, running
from integration_tests.support.stored import values

_UNCOMPILED = """
import os, sys
import destination_redis.connection.ssh_tunnel
specs = [module.__spec__ for module in sys.modules.values() if getattr(module, "__spec__", None)]
print([spec.origin for spec in specs if spec.cached and not os.path.exists(spec.cached)])
"""


# One test, since several could each make the base image, in as many processes.
def test_both_images_do_by_their_entrypoints_what_airbyte_asks_and_ours_is_small_and_harmless(tmp_path: Path) -> None:
    with store(tmp_path / "images") as images, running("redis-7.0") as server:
        ours = images.of_dockerfile()
        print("\n".join(_sizes(ours)))
        _says_what_it_is(ours)
        _holds_what_it_needs_and_nothing_else(ours)
        _does_its_work(ours, server, tmp_path / "ours")

        server.client.flushall()
        of_cdk = images.of_cdk()
        assert int(of_cdk.run("id", "-u").stdout) == 1000
        _does_its_work(of_cdk, server, tmp_path / "of_cdk")
    assert not (tmp_path / "images").exists()


def _says_what_it_is(image: Image) -> None:
    labels = image.config["Labels"]
    assert labels["io.airbyte.name"] == "airbyte/destination-redis"
    assert re.fullmatch(r"\d+\.\d+\.\d+", labels["io.airbyte.version"])
    entrypoint = image.config["Entrypoint"]
    assert f"AIRBYTE_ENTRYPOINT={' '.join(entrypoint)}" in image.config["Env"]
    assert int(image.run("id", "-u").stdout) == 1000


def _holds_what_it_needs_and_nothing_else(image: Image) -> None:
    version = image.config["Labels"]["io.airbyte.version"]
    code = image.root / "airbyte/integration_code"
    distribution = f"airbyte_destination_redis-{version}.dist-info"
    assert {path.name for path in code.iterdir()} == {"main.py", "destination_redis", "__pycache__", distribution}
    folders = [name for place in ("airbyte", "venv", "build", "connector") for name in _folders(image.root / place)]
    assert not {".git", "secrets", "tests", "unit_tests", "integration_tests"}.intersection(folders)
    assert "airbyte_cdk" in folders
    found = image.run("python", "-c", _UNCOMPILED)
    assert found.returncode == 0, found.stderr
    assert ast.literal_eval(found.stdout.decode()) == []
    assert not [path for path in (code / "destination_redis").rglob("*.py") if not _bytecode(path).exists()]
    installed = {_plain(each.name): each.version for each in distributions(path=[str(_packages(image))])}
    assert installed.items() <= pins().items()
    assert {"airbyte-cdk", "redis"} <= installed.keys()
    assert not {"pytest", "mypy", "pip"} & installed.keys()


def _does_its_work(image: Image, server: Server, mounted: Path) -> None:
    mounted.mkdir()
    mounted.chmod(0o755)
    (mounted / "config.json").write_text(json.dumps(server.config))
    (mounted / "catalog.json").write_text(json.dumps({"streams": [stream()]}))
    entrypoint = image.config["Entrypoint"]

    spec = image.run(*entrypoint, "spec")
    assert spec.returncode == 0, spec.stderr
    assert _messages(spec.stdout)[0]["spec"]["connectionSpecification"]["required"] == ["host"]

    # As Airbyte's launcher does.
    check = image.run("sh", "-c", 'eval "$AIRBYTE_ENTRYPOINT check --config /config/config.json"', folder=mounted)
    assert [message["connectionStatus"]["status"] for message in _messages(check.stdout)] == ["SUCCEEDED"]

    lines = "".join(json.dumps(message) + "\n" for message in (record(1), record(2), state(2))).encode()
    command = (*entrypoint, "write", "--config", "/config/config.json", "--catalog", "/config/catalog.json")
    write = image.run(*command, folder=mounted, stdin=lines)
    assert write.returncode == 0, write.stdout
    assert [message["type"] for message in _messages(write.stdout)].count("STATE") == 1
    assert values(server.client) == [1, 2]


def _sizes(image: Image) -> Iterable[str]:
    base, *ours = image.layers
    yield f"the stand-in for the base image: {base / 1e6:.0f} MB"
    yield f"on top of it: {sum(ours) / 1e6:.0f} MB"
    for place in ("venv", "airbyte"):
        files = [path for path in (image.root / place).rglob("*") if path.is_file() and not path.is_symlink()]
        yield f"of that /{place}: {sum(path.stat().st_size for path in files) / 1e6:.1f} MB"


def _messages(output: bytes) -> list[Json]:
    return [json.loads(line) for line in output.splitlines()]


def _folders(place: Path) -> list[str]:
    return [name for _, names, _ in os.walk(place) for name in names]


def _packages(image: Image) -> Path:
    (found,) = (image.root / "venv/lib").glob("python*/site-packages")
    return found


def _bytecode(path: Path) -> Path:
    return next(iter((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc")), path.with_suffix(".pyc"))


def _plain(name: str) -> str:
    """Return a package's name as registries compare it."""
    return re.sub("[-_.]+", "-", name).lower()
