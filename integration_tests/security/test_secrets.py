"""No secret in any output, command line, environment or file: planted in every field, in all failures there are."""

import base64
import contextlib
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from destination_redis.config.spec import specification
from destination_redis.redaction.secrets import secret_names
from integration_tests.support.connector.cli import CommandLine, Ran
from integration_tests.support.connector.process import Connector
from integration_tests.support.faults.seed import FULL, report, rng
from integration_tests.support.fuzzing.malformed import HOLE, Random, assert_honest, filled, settings
from integration_tests.support.messages import COMPLETE, Json, lines, record, state, stream
from integration_tests.support.servers.certificates import CLIENT, KEY_PASSWORD, MUTUAL, SERVER, Identity, listening
from integration_tests.support.servers.listener import listening_to, received
from integration_tests.support.servers.server import Server, free_port
from integration_tests.support.servers.ssh_server import OPENSSH, SshServer, private, sshd

pytestmark = pytest.mark.stress

#: What every secret below holds, and no output may; it comes through every way of writing a text.
CORE = "S3cr3tC0re"
#: What a short secret is, with nothing around it that would make it recognisable.
SHORT = "Zq9"


def secrets(random: Random) -> list[str]:
    lines = [base64.b64encode(f"{CORE}{random.random()}".encode()).decode() for _ in range(5)]
    key = "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n"
    return [
        *(CORE, SHORT, f"{CORE} \"quoted\" and 'so'", f"{CORE}\nand {CORE} again", f"{CORE}\r\nand {CORE}"),
        *(f"ünïcödé-{CORE}-\U0001f511", f"%20{CORE}%41/+&=?#@:", f"\\u0041\\n{CORE}\\", f"{CORE}\0\x7f", f" {CORE} "),
        *(key.format("\n".join(lines)), key.format("\n".join(lines)).replace("\n", "\\n")),
    ]


def told(secret: str) -> list[str]:
    """Return what of a secret no output may hold."""
    lines = [line for line in secret.replace("\\n", "\n").split("\n") if "-----" not in line and len(line) > 20]
    return [CORE, *([SHORT] if secret == SHORT else []), *(lines if "-----" in secret else [])]


@contextmanager
def echoing(write: Callable[[str], str]) -> Iterator[int]:
    """Yield the port of a server that answers with an error that holds what it was sent, as `write` has it."""

    def answer(connection: socket.socket) -> None:
        while said := received(connection):
            text = write(said.decode(errors="replace").replace("\r\n", " "))
            one_line = text.replace("\r", " ").replace("\n", " ")
            with contextlib.suppress(ConnectionError):
                connection.sendall(f"-ERR you said {one_line}\r\n".encode(errors="replace") * said.count(b"*"))

    with listening_to(answer) as port:
        yield port


def noting(way: Callable[[str], str], secret: str, quoted: list[bool]) -> Callable[[str], str]:
    """Return `way`, which also notes of each text whether the server was told the secret and so quotes it."""

    def write(text: str) -> str:
        quoted.append(secret in text)
        return way(text)

    return write


def as_bytes(text: str) -> str:
    return repr(text.encode())


#: Ways in which libraries and servers put a text into a message.
WAYS: Sequence[Callable[[str], str]] = (
    str,
    repr,
    ascii,
    json.dumps,
    quote,
    quote_plus,
    as_bytes,
)


def failures(secret: str, echo: int, redis: int, ssh: int) -> Iterator[bytes]:
    """Yield configs that fail in every way there is, each with the secret."""
    text = json.dumps(secret).encode()
    here: Json = {"host": "127.0.0.1", "port": echo}
    for each in settings(secret=True):
        tls = {"ssl": True} if "ssl_mode" in each else {}
        yield filled({**here, **tls, **each}, text)
        for wrong in (b"[%b]" % text, b'{"x":%b}' % text, b"{%b:1}" % text):
            yield filled({**here, **tls, **each}, wrong)
    tunnel = {"tunnel_host": "127.0.0.1", "tunnel_user": "root"}
    by_password = {"tunnel_method": "SSH_PASSWORD_AUTH", **tunnel, "tunnel_user_password": secret}
    by_key = {"tunnel_method": "SSH_KEY_AUTH", **tunnel, "ssh_key": secret}
    sentinel = {"deployment": "sentinel", "service_name": "s", "sentinel_password": secret}
    pair = {"client_certificate": CLIENT.pem, "client_key": CLIENT.key_pem(KEY_PASSWORD)}
    configs: list[Json] = [
        {**here, "port": redis, "password": secret},
        {**here, "port": redis, "username": "alice", "password": secret},
        {**here, "username": "alice", "password": secret},
        {**here, "port": free_port(), "password": secret},
        {**here, "host": "redis.invalid", "password": secret},
        {**here, "ssl": True, "ssl_mode": {"mode": "verify-full", **pair, "client_key_password": secret}},
        {**here, "ssl": True, "ssl_mode": {"mode": "verify-ca", **pair, "client_key": secret}},
        {**here, "ssl": True, "ssl_mode": {"mode": "verify-ca", **pair, "client_certificate": secret}},
        {**here, "tunnel_method": {**by_password, "tunnel_port": ssh}},
        {**here, "tunnel_method": {**by_password, "tunnel_port": echo}},
        {**here, "tunnel_method": {**by_password, "tunnel_port": free_port()}},
        {**here, "tunnel_method": {**by_key, "tunnel_port": ssh}},
        {**here, "deployment": sentinel, "password": secret},
        {**here, "port": redis, "deployment": {**sentinel, "nodes": [f"127.0.0.1:{echo}"]}},
        {**here, "deployment": {"deployment": "cluster", "nodes": [f"127.0.0.1:{echo}"]}, "password": secret},
        {**here, "pasword": secret, "Password": {"x": secret}, "port": free_port()},
        {**here, "port": "x", "password": secret, "tunnel_method": by_key},
        {**here, "ssl_mode": {"mode": secret}, "cache_type": secret, "record_format": secret, "port": secret},
        {**here, "deployment": {"deployment": secret}, "tunnel_method": {"tunnel_method": secret}},
        {**here, "ssl": secret, "ttl_seconds": secret, "durability": secret, "stream_max_length": [secret]},
        {"config": {**here, "password": secret}},
        {**here, "key_prefix": f"{{{secret}", "password": secret},
    ]
    if "@" not in secret and not set(secret) & set(" \n\r\\/"):
        for host in (f"redis://:{secret}@127.0.0.1", f"redis://me:{secret}@127.0.0.1:1/0", f"me:{secret}@127.0.0.1"):
            configs.append({**here, "host": host})
            configs.append({**here, "tunnel_method": {**by_password, "tunnel_host": host}, "password": secret})
            nodes = {"deployment": "cluster", "nodes": [f"{host}:1"]}
            configs.append({**here, "port": free_port(), "deployment": nodes})
    yield from (json.dumps(config).encode() for config in configs)
    whole = json.dumps({**here, "password": secret}).encode()
    yield from (whole[:-1], whole + b"x", whole.replace(b'"host"', b"host"), b"[%b]" % whole, text)


@pytest.fixture(scope="module")
def ssh_server() -> Iterator[SshServer]:
    with sshd(ed25519.Ed25519PrivateKey.generate()) as ssh_server:
        yield ssh_server


def test_no_secret_is_in_any_output_of_any_failure(
    cli: CommandLine, fuzzed_server: Server, ssh_server: SshServer, request: pytest.FixtureRequest
) -> None:
    random = rng(request.node.name)
    fuzzed_server.client.flushall()
    fuzzed_server.client.execute_command("ACL", "SETUSER", "alice", "on", ">another", "~*", "+@all")
    counts = {"secrets": 0, "checks": 0, "writes": 0, "failed": 0, "quoted": 0}
    content = lines(record(1))

    def look(ran: Ran, secret: str) -> None:
        assert_honest(ran, *told(secret))
        said = ran.of("CONNECTION_STATUS")
        counts["failed"] += ran.code or said[0]["connectionStatus"]["status"] == "FAILED"

    for secret in secrets(random):
        counts["secrets"] += 1
        quoted: list[bool] = []
        with echoing(noting(random.choice(WAYS), secret, quoted)) as echo:
            tried = list(failures(secret, echo, fuzzed_server.port, ssh_server.port))
            for config in random.sample(tried, 45 if FULL else 16):
                look(cli.check(config, debug=random.random() < 0.5), secret)
                counts["checks"] += 1
                if random.random() < (0.25 if FULL else 0.15):
                    ran = cli.write(config, {"streams": [stream()]}, content, terminate_after=2, debug=True)
                    look(ran, secret)
                    counts["writes"] += 1
        counts["quoted"] += sum(quoted)
    fuzzed_server.client.execute_command("ACL", "DELUSER", "alice")
    assert counts["quoted"]
    assert counts["failed"] > counts["checks"] / 2
    report("secrets", **counts)


@pytest.mark.parametrize("way", WAYS)
def test_what_a_server_says_back_is_masked_however_it_writes_it(cli: CommandLine, way: Callable[[str], str]) -> None:
    secret = f'ü "{CORE}" \'%/\\'
    quoted: list[bool] = []
    with echoing(noting(way, CORE, quoted)) as port:
        for more in ({}, {"deployment": {"deployment": "cluster"}}):
            config = {"host": "127.0.0.1", "port": port, "username": "me", "password": secret, **more}
            runs = (cli.check, lambda config: cli.write(config, {"streams": [stream()]}, b"", terminate_after=2))
            for run in runs:
                quoted.clear()
                ran = run(config)
                assert_honest(ran, CORE)
                assert "The server refuses the command AUTH" in ran.out
                assert any(quoted)


def test_a_private_key_that_the_ssh_server_refuses_is_in_no_output(cli: CommandLine, ssh_server: SshServer) -> None:
    key = private(ed25519.Ed25519PrivateKey.generate(), OPENSSH)
    for form in (key, key.replace("\n", "\\n"), key.replace("\n", "\r\n")):
        config = {"host": "127.0.0.1", "port": free_port(), "tunnel_method": ssh_server.tunnel(form)}
        ran = cli.check(config, debug=True)
        assert_honest(ran, *[line for line in key.split("\n") if line and "-----" not in line])
        assert "does not accept" in ran.out


def test_every_secret_setting_is_planted() -> None:
    planted = {name for each in settings(secret=True) for name, value in _named(each) if value == HOLE}
    assert planted == secret_names(specification()["connectionSpecification"])


def _named(node: Json) -> Iterator[tuple[str, object]]:
    for name, value in node.items():
        yield name, value
        if isinstance(value, dict):
            yield from _named(value)


def test_spec_needs_no_config_and_says_the_form(cli: CommandLine) -> None:
    ran = cli.run("spec")
    assert_honest(ran)
    assert len(ran.of("SPEC")) == 1


def test_while_a_sync_runs_no_secret_is_in_its_environment_its_command_line_its_children_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    ssh = ed25519.Ed25519PrivateKey.generate()
    with sshd(ssh) as ssh_server, listening(tmp_path, SERVER, "yes") as (config, server):
        server.client.execute_command("ACL", "SETUSER", "alice", "on", f">{CORE}", "~*", "+@all")
        config |= {"username": "alice", "password": CORE, "tunnel_method": ssh_server.tunnel(private(ssh, OPENSSH))}
        config["ssl_mode"] = {"mode": "verify-full", **MUTUAL}
        running = Connector(config, tmp_path).start([stream()])
        running.send(record(1), state(1))
        running.wait_for_states(1)
        process = Path(f"/proc/{running.process.pid}")
        seen = [(process / name).read_bytes() for name in ("cmdline", "environ")]
        opened = [str(file.readlink()) for file in (process / "fd").iterdir() if int(file.name) > 2]
        children = [path.read_text() for path in process.glob("task/*/children")]
        files = list(temporary.rglob("*"))
        running.send(COMPLETE)
        outcome = running.finish()

    assert outcome.code == 0, outcome.text
    unsaid = [CORE, KEY_PASSWORD, *lines_of(CLIENT, config)]
    assert [secret for secret in unsaid if secret in outcome.text] == []
    assert [secret for secret in unsaid for text in seen if secret.encode() in text] == []
    assert "".join(children).strip() == ""
    assert files == list(temporary.rglob("*")) == []
    assert [file for file in opened if "memfd" in file or (file.startswith("/") and "/dev/" not in file)] == []


def lines_of(client: Identity, config: Json) -> list[str]:
    """Return the lines of the keys in a config."""
    keys = [client.key_pem(), config["ssl_mode"]["client_key"], config["tunnel_method"]["ssh_key"]]
    return [line for key in keys for line in key.split("\n") if len(line) > 8 and "-----" not in line]
