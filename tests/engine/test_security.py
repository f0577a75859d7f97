"""On a host shared with strangers: no open door, no secret told, records are data."""

from __future__ import annotations

import ast
import ipaddress
import os
import re
import secrets
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from support import Bench, ended, wait_until

import sweeper

# -- A launch, looked at while it runs -------------------------------------------------------------

GROUP = "watched"
WATCHED = f"trainer: sabotage\ngroup: {GROUP}\ndeed: [raise, segfault, wait for stop]\n"


@dataclass(frozen=True)
class Watched:
    """A launch that is running, with the secrets it was given."""

    bench: Bench
    pid: int
    key: str
    """A W&B key of nobody's, 40 characters as theirs are."""

    @property
    def token(self) -> str:
        (file,) = self.bench.scratch.glob("*/token")
        return file.read_text()

    @property
    def processes(self) -> list[psutil.Process]:
        supervisor = psutil.Process(self.pid)
        return [supervisor, *supervisor.children(recursive=True)]


@pytest.fixture(scope="module")
def watched(new_bench: Callable[[], Bench]) -> Iterator[Watched]:
    bench, key = new_bench(), secrets.token_hex(20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", key)
        launch = bench.start("launch", bench.write(GROUP, WATCHED), "--cpus", 2)
    watched = Watched(bench, launch.pid, key)
    wait_until(
        lambda: (
            len(ended(bench.events(GROUP))) == 2
            and {"raylet", "ray::RuntimeEnvA"} <= {p.name()[:16] for p in watched.processes}
        ),
        state=lambda: bench.events(GROUP),
    )
    yield watched
    launch.terminate()
    output, _ = launch.communicate(timeout=60)
    assert launch.returncode == 130, output
    assert key not in output


def listeners(process: psutil.Process) -> Iterator[tuple[str, int]]:
    """Addresses that a process listens on or receives datagrams at, as the kernel tells them."""
    inodes = set()
    try:
        links = list(Path(f"/proc/{process.pid}/fd").iterdir())
    except FileNotFoundError:
        return  # gone since it was listed, and its sockets with it
    for link in links:
        try:
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link))  # noqa: PTH115  (no path)
        except OSError:
            continue
        if found:
            inodes.add(found[1])
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{process.pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            listens = fields[3] == "0A" if table.startswith("tcp") else fields[2].endswith(":0000")
            if listens and fields[9] in inodes:
                address, port = fields[1].split(":")
                yield address, int(port, 16)


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """From /proc/net: 32-bit words in the host's byte order."""
    words = [bytes.fromhex(text[start : start + 8]) for start in range(0, len(text), 8)]
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    address = ipaddress.ip_address(raw)
    return getattr(address, "ipv4_mapped", None) or address


def port_of(watched: Watched, name: str) -> int:
    (process,) = [p for p in watched.processes if p.name().startswith(name)]
    return min(port for _, port in listeners(process))


def test_addresses_of_the_kernel_are_read_right() -> None:
    assert str(address_of("0100007F")) == "127.0.0.1"
    assert str(address_of("0000000000000000FFFF00000100007F")) == "127.0.0.1"
    assert not address_of("00000000000000000000000000000000").is_loopback
    assert address_of("00000000000000000000000001000000").is_loopback


def test_nothing_listens_beyond_loopback(watched: Watched) -> None:
    found = {
        (process.name(), str(address_of(address)), port)
        for process in watched.processes
        for address, port in listeners(process)
    }
    names = {name for name, _, _ in found}
    assert {"gcs_server", "raylet"} <= names  # else nothing was looked at
    open_ones = [one for one in found if not ipaddress.ip_address(one[1]).is_loopback]
    assert open_ones == []


ASK_GCS = """
import sys
from ray._raylet import GcsClient
client = GcsClient(address=f"127.0.0.1:{sys.argv[1]}")
print("jobs:", len(client.get_all_job_info(timeout=10)))
"""


def ask_gcs(watched: Watched, **settings: str) -> subprocess.CompletedProcess[str]:
    """Ask the launch's Ray, from a process of its own, how many jobs it has."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env["HOME"] = "/nonexistent"  # where somebody else's ~/.ray/auth_token may lie
    return subprocess.run(
        [sys.executable, "-c", ASK_GCS, str(port_of(watched, "gcs_server"))],
        env=env | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_client_without_the_token_is_refused(watched: Watched) -> None:
    for settings in (
        {},
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)},
    ):
        refused = ask_gcs(watched, **settings)
        assert refused.returncode != 0
        assert "AuthenticationError" in refused.stderr
        assert "jobs:" not in refused.stdout
    # The door exists: the right token opens it.
    let_in = ask_gcs(watched, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=watched.token)
    assert "jobs: 1" in let_in.stdout, let_in.stderr


def test_the_agent_that_makes_environments_refuses_strangers(watched: Watched) -> None:
    """It would run commands for whoever may ask it."""
    port = port_of(watched, "ray::RuntimeEnvA")
    for path in ("get_or_create_runtime_env", "get_runtime_envs_info"):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", data=b"")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(request, timeout=10)


def test_no_secret_is_in_any_command_line(watched: Watched) -> None:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes()
        except OSError:
            continue
        assert watched.key.encode() not in line
        assert watched.token.encode() not in line


def test_no_secret_is_in_any_record_or_log(watched: Watched) -> None:
    token = next(watched.bench.scratch.glob("*/token"))
    told = [
        file
        for folder in (watched.bench.path, watched.bench.scratch)
        for file in folder.rglob("*")
        if file.is_file()
        and file != token
        and any(s.encode() in file.read_bytes() for s in (watched.key, watched.token))
    ]
    assert told == []
    # Those of runs that ended badly were among them.
    folder = watched.bench.group(GROUP)
    assert any(folder.run(run).stack_file.exists() for run in watched.bench.state(GROUP).runs)


def test_scratch_and_records_are_for_their_user_alone(watched: Watched) -> None:
    scratch = watched.bench.scratch
    # Ray makes its session folder open to all: what lies above it keeps it closed.
    for folder in (scratch, *scratch.iterdir(), *scratch.glob("*/w1")):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    assert stat.S_IMODE(next(scratch.glob("*/token")).stat().st_mode) == 0o600
    records = watched.bench.path / "runs"
    for path in (records, *records.rglob("*")):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


# -- The code itself -------------------------------------------------------------------------------

# Where code of the user's may be named: the sweep file that the user has given.
# The fork server imports what the trainer says to preload.
IMPORTERS = {"sweeper/imports.py", "sweeper/engine/fork_server.py"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "__import__", "unsafe_load", "full_load", "load_all"}


def test_no_code_of_ours_runs_what_it_reads() -> None:
    """No pickle, no eval, and imports by name only where a trainer is meant."""
    root = Path(sweeper.__file__).parent
    found = []
    for file in sorted(root.rglob("*.py")):
        name = str(file.relative_to(root.parent))
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Import(names=names):
                    modules = {alias.name.partition(".")[0] for alias in names}
                case ast.ImportFrom(module=str(module)):
                    modules = {module.partition(".")[0]}
                case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)):
                    modules = set()
                    if called in FORBIDDEN_CALLS or (
                        called == "import_module" and name not in IMPORTERS
                    ):
                        found.append(f"{name}:{node.lineno}: {called}")
                    if called == "load" and ast.unparse(node.func) == "yaml.load":
                        found.append(f"{name}:{node.lineno}: yaml.load")
                case _:
                    continue
            found += [f"{name}:{node.lineno}: {one}" for one in modules & FORBIDDEN_MODULES]
    assert found == []
