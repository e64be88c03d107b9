"""The connector's images, built without a container engine, over a stand-in for their base image.

There are two: the Dockerfile's, and the one that `airbyte-cdk image build` makes, which does not read the Dockerfile.
"""

import ast
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from integration_tests.support.project import PYTHON, ROOT
from integration_tests.support.servers.server import require

#: Where it is pulled from, and by what the stand-in goes: a digest would be another's.
_BASE_IMAGE = re.search(
    r"^ARG BASE_IMAGE=([^@\s]+)@sha256:[0-9a-f]{64}$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
)
#: The release of Debian whose Python is the base image's, 3.13; and the base image's user.
_RELEASE = "trixie"
_USERS = "root:x:0:0:root:/root:/bin/sh\nairbyte:x:1000:1000::/nonexistent:/usr/sbin/nologin\n"
_GROUPS = "root:x:0:\nairbyte:x:1000:\n"
_UNNEEDED = ("debootstrap", "usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt")
#: What airbyte-cdk builds by, a Dockerfile that it downloads, does in these steps; and its list of files leaves all out
#: but these.
_STEPS_OF_CDK = """
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS builder
ARG UV_DEFAULT_INDEX
ARG UV_FIND_LINKS
ARG SSL_CERT_FILE
WORKDIR /airbyte/integration_code
COPY . ./
RUN python -m pip install --no-cache-dir uv && python -m uv pip install --no-cache-dir .
FROM ${BASE_IMAGE}
WORKDIR /airbyte/integration_code
COPY --from=builder /usr/local /usr/local
RUN printf '#!/usr/bin/env bash\\nset -e\\ndestination-redis "$@"\\n' >/entrypoint.sh && chmod 755 /entrypoint.sh
USER airbyte
ENV AIRBYTE_ENTRYPOINT=/entrypoint.sh
ENTRYPOINT ["/entrypoint.sh"]
"""
_FILES_OF_CDK = "*\n!pyproject.toml\n!poetry.lock\n!README.md\n!metadata.yaml\n!destination_*\n"
#: What tells pip where packages come from.
_REGISTRY = ("index-url", "extra-index-url", "find-links", "no-index", "cert", "client-cert", "proxy", "trusted-host")
#: The same, where it is needed, as uv's environment variables.
_REGISTRY_OF_UV = {"index-url": "UV_DEFAULT_INDEX", "find-links": "UV_FIND_LINKS", "cert": "SSL_CERT_FILE"}


@dataclass(frozen=True)
class Image:
    """A built image, and a container of it."""

    config: dict[str, Any]  # labels, environment, user and so on, as OCI names them
    layers: tuple[int, ...]  # their sizes in bytes, the base image's first
    root: Path  # its files, as they lie on this machine
    _run: tuple[str, ...]
    _container: str

    def run(
        self, *command: str, folder: Path | None = None, stdin: bytes = b""
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a command as the image's user; `folder` is there as /config."""
        mounted = ("--volume", f"{folder}:/config:ro") if folder else ()
        whole = [*self._run, *mounted, self._container, "--", *command]
        return subprocess.run(whole, input=stdin, capture_output=True, timeout=120, check=False)


@dataclass(frozen=True)
class Store:
    """Where images are kept, first of all the stand-in for the base image."""

    _buildah: tuple[str, ...]
    _folder: Path
    _base: str

    def of_dockerfile(self) -> Image:
        """Build by the project's Dockerfile."""
        return self._built("dockerfile")

    def of_cdk(self) -> Image:
        """Build as `airbyte-cdk image build` does: without the lock, for the console script."""
        dockerfile, ignored = self._folder / "Dockerfile.cdk", self._folder / "dockerignore.cdk"
        dockerfile.write_text(_STEPS_OF_CDK)
        ignored.write_text(_FILES_OF_CDK)
        return self._built("cdk", "--file", str(dockerfile), "--ignorefile", str(ignored))

    def _built(self, tag: str, *arguments: str) -> Image:
        buildah = self._buildah
        _do(
            *(*buildah, "build", "--isolation", "chroot", "--pull-never", "--tag", tag, *arguments),
            *("--build-arg", f"BASE_IMAGE={self._base}", *_registry(self._folder), str(ROOT)),
        )
        described = json.loads(_do(*buildah, "inspect", "--type", "image", tag))
        container = _do(*buildah, "from", "--pull-never", tag)
        return Image(
            described["OCIv1"]["config"],
            tuple(layer["size"] for layer in json.loads(described["Manifest"])["layers"]),
            Path(_do(*buildah, "mount", container)),
            (*buildah, "run", "--isolation", "chroot"),
            container,
        )


@contextmanager
def store(folder: Path) -> Iterator[Store]:
    """Make what builds images; all that this takes lies in `folder` and is gone afterwards."""
    require("debootstrap")
    buildah = (require("buildah"), "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs")
    if os.getuid() != 0:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("Only root can make a root file system")
    assert _BASE_IMAGE, "The Dockerfile pins no base image"
    name = _BASE_IMAGE[1]
    try:
        _commit_stand_in(buildah, name)
        yield Store(buildah, folder, name)
    finally:
        subprocess.run([*buildah, "umount", "--all"], capture_output=True, check=False)
        subprocess.run([*buildah, "rm", "--all"], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _commit_stand_in(buildah: tuple[str, ...], name: str) -> None:
    """Make what the base image has: `python` with venv and pip, free to install packages, and the user airbyte."""
    container = _do(*buildah, "from", "scratch")
    root = Path(_do(*buildah, "mount", container))
    _do("debootstrap", "--foreign", "--variant=minbase", "--include=python3-venv,python3-pip", _RELEASE, str(root))
    # Unpacked is enough: configuring each package would take a minute, for services and users that nobody needs.
    unpacked = set((root / "debootstrap" / "required").read_text().split())
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        if package.name.split("_")[0] not in unpacked:
            files = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True).stdout
            subprocess.run(["tar", "-x", "-C", root, "--keep-directory-symlink"], input=files, check=True)
    for path in _UNNEEDED:
        shutil.rmtree(root / path)
    if (root / "proc").is_symlink():  # where it could not be mounted
        (root / "proc").unlink()
        (root / "proc").mkdir()
    (root / "etc/passwd").write_text(_USERS)
    (root / "etc/group").write_text(_GROUPS)
    (root / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    for mark in (root / "usr/lib").glob("python3*/EXTERNALLY-MANAGED"):
        mark.unlink()
    _do(*buildah, "commit", "--quiet", "--rm", container, name)


def _registry(folder: Path) -> list[str]:
    """Return the mounts and arguments by which pip and uv in a build find packages as this machine's pip does."""
    settings: dict[str, str] = {}
    for line in _do(PYTHON, "-m", "pip", "config", "list").splitlines():  # the environment's come first
        name, value = line.split("=", 1)
        settings.setdefault(name.rsplit(".", 1)[1], ast.literal_eval(value))
    if "REQUESTS_CA_BUNDLE" in os.environ:
        settings.setdefault("cert", os.environ["REQUESTS_CA_BUNDLE"])
    settings = {name: value for name, value in settings.items() if name in _REGISTRY}
    lines = [f"{name} = {' '.join(value.split())}\n" for name, value in settings.items()]
    file = folder / "pip.conf"
    file.write_text("[global]\n" + "".join(lines))
    words = {word.removeprefix("file://") for value in settings.values() for word in value.split()}
    # The files of an index that lies on this machine are beside its pages.
    paths = {word.removesuffix("/").removesuffix("/simple") for word in words if word.startswith("/")}
    mounts = [
        f"{file}:/etc/pip.conf:ro",
        *(f"{path}:{path}:ro" for path in sorted(paths) if path and Path(path).exists()),
    ]
    for_uv = [f"{variable}={settings[name]}" for name, variable in _REGISTRY_OF_UV.items() if name in settings]
    return [
        *(argument for mount in mounts for argument in ("--volume", mount)),
        *(argument for value in for_uv for argument in ("--build-arg", value)),
    ]


def _do(*command: str) -> str:
    """Run a command to its end; where it fails the test does, and says why."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        pytest.fail(f"{command[0]}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout.strip()
