"""The self-test: one real wave of one run, and the compile cache, tried on this host.

Both are used as a sweep would use them: the same supervisor, environment and folders.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeper.config import Resources, RunSpec
from sweeper.doctor import probe_trainer
from sweeper.doctor.limits import Check, Finding, judged
from sweeper.engine.budgets import WORKER_THREADS
from sweeper.engine.compile_cache import compile_cache_folder, remove_spoilt
from sweeper.engine.environment import wave_environment
from sweeper.engine.policy import Policy
from sweeper.engine.scratch import scratch_folders
from sweeper.errors import HostError, SweeperError
from sweeper.host.facts import folder_size
from sweeper.host.processes import ProcessMark, marked_processes
from sweeper.launch.launch import compare, launch
from sweeper.launch.work import Announcement, Options, Purpose
from sweeper.plan import Plan, plan_each
from sweeper.records import GroupFolder, GroupState
from sweeper.records.events import Ended, Event, WaveEnded
from sweeper.records.outcomes import Outcome
from sweeper.records.permissions import readable_as
from sweeper.records.shards import WHOLE, Shard
from sweeper.suggest import counted
from sweeper.trainer import Trainer, load_trainer
from sweeper.units import size

__all__ = [
    "CacheTrial",
    "WaveTrial",
    "aftermath_check",
    "cache_check",
    "ray_check",
    "read_trial",
    "try_cache",
    "try_wave",
    "worker_check",
]

_PROBE = "sweeper.doctor.probe_trainer"
_RUN = "doctor"
# From the start of Ray to its end; a healthy host takes less than ten seconds.
_WAVE_LIMIT_S = 180.0
_SLOW_START_S = 20.0
_COMPILE_LIMIT_S = 120.0
_COMPLAINT_SHOWN = 300
_REINSTALL = "`python -c 'import jax; jax.numpy.ones(1)'` shows it alone; reinstall jax and jaxlib"


@dataclass(frozen=True)
class WaveTrial:
    """The result of one wave with one run of the probe.

    `failure` says why there is no result, else None. `left` processes and `left_bytes` bytes of
    the launch were still there when it was over.
    """

    failure: str | None = None
    startup_s: float | None = None
    shutdown_s: float | None = None
    scratch_peak_bytes: int = 0
    rss_peak_bytes: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    left: int = 0
    left_bytes: int = 0


@dataclass(frozen=True)
class _SelfTest:
    """One run of the probe, tried once, as work for a launch."""

    folder: GroupFolder
    trainer: Trainer = field(default_factory=lambda: load_trainer(_PROBE))
    resources: Resources = field(default_factory=Resources)
    datasets: None = None
    warnings: tuple[str, ...] = ()
    purpose: Purpose = "train"
    shard: Shard = WHOLE
    again: bool = False

    def plan(self, state: GroupState) -> Plan:
        return plan_each([RunSpec(_RUN, probe_trainer.Config(), {})], self.trainer)

    def policy(self, state: GroupState, options: Options) -> Policy:
        return Policy(lost_retries=0)

    def describe(self, plan: Plan) -> dict[str, Any]:
        return {}

    def announce(self, plan: Plan, state: GroupState) -> Announcement:
        return Announcement(total=1)


@dataclass
class _Watch:
    """The view of the self-test: keeps the events, and ends it at the first failure."""

    events: list[Event] = field(default_factory=list)
    deadline: float = field(default_factory=lambda: time.monotonic() + _WAVE_LIMIT_S)

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def tick(self) -> None:
        """Raises `HostError`: a sweep tries again, but here the first failure is the answer."""
        for event in self.events:
            if isinstance(event, WaveEnded) and event.reason != "done":
                raise HostError(event.reason)
        if time.monotonic() > self.deadline:
            raise HostError(f"one wave with one run took longer than {_WAVE_LIMIT_S:.0f} s")

    def close(self) -> None:
        """Nothing is drawn."""


def try_wave() -> WaveTrial:
    """Launch one run of the probe, with records in a folder that is deleted afterwards.

    Raises KeyboardInterrupt when a signal asked to stop meanwhile.
    """
    watch, launch_id, failure = _Watch(), secrets.token_hex(4), None
    with tempfile.TemporaryDirectory(prefix="sweeper-doctor-") as records:
        options = Options(cpus=1, brake=False)
        try:
            prepared = compare(_SelfTest(GroupFolder(Path(records), _RUN)), options)
            end = launch(prepared, options, view_of=lambda _: watch, launch_id=launch_id)
            if end.end.reason == "stopped":
                raise KeyboardInterrupt
        except (SweeperError, OSError) as error:
            failure = str(error)
    left = sum(1 for _ in marked_processes(lambda mark: mark.launch.startswith(launch_id)))
    left_bytes = sum(folder_size(folder)[0] for folder in scratch_folders(launch_id))
    return read_trial(watch.events, failure=failure, left=left, left_bytes=left_bytes)


def read_trial(
    events: Sequence[Event],
    *,
    failure: str | None = None,
    left: int = 0,
    left_bytes: int = 0,
) -> WaveTrial:
    """The result of the trial, from the journal's events."""
    wave = next((event for event in events if isinstance(event, WaveEnded)), None)
    run = next((event for event in events if isinstance(event, Ended)), None)
    if failure is None and (run is None or run.outcome is not Outcome.FINISHED):
        failure = f"the run of the probe {_ending(run)}"
    return WaveTrial(
        failure=failure,
        startup_s=wave.startup_s if wave else None,
        shutdown_s=wave.shutdown_s if wave else None,
        scratch_peak_bytes=(wave.scratch_peak_bytes or 0) if wave else 0,
        rss_peak_bytes=run.rss_peak_bytes if run else None,
        metrics=run.metrics if run else {},
        left=left,
        left_bytes=left_bytes,
    )


def _ending(run: Ended | None) -> str:
    if run is None:
        return "never ended"
    return (
        f"{run.outcome}: {run.cause.headline()}"
        if run.cause
        else f"{run.outcome}: its cause is unknown"
    )


def ray_check(trial: WaveTrial) -> Check:
    """Whether a wave's Ray starts and stops, and in what time."""
    data = {
        "startup_s": trial.startup_s,
        "shutdown_s": trial.shutdown_s,
        "scratch_peak_bytes": trial.scratch_peak_bytes,
        "failure": trial.failure,
    }
    if trial.startup_s is None or trial.shutdown_s is None:
        fix = "fix the checks above first; Ray's own words are in the message"
        return Check("Ray", "problem", trial.failure or "its wave broke off", fix, data)
    findings: list[Finding] = []
    if trial.startup_s > _SLOW_START_S:
        fix = "a busy host or a slow disk: a local temp folder (SWEEPER_SCRATCH), larger waves"
        findings.append(("warning", fix))
    found = (
        f"starts in {trial.startup_s:.1f} s, stops in {trial.shutdown_s:.1f} s, "
        f"{size(trial.scratch_peak_bytes)} of scratch for one run"
    )
    return judged("Ray", found, findings, data)


def worker_check(trial: WaveTrial) -> Check:
    """Whether a worker stays on its slot, with as few threads as it should have."""
    data: dict[str, Any] = {**trial.metrics, "rss_peak_bytes": trial.rss_peak_bytes}
    if trial.startup_s is None:
        return Check("worker", "problem", "none started", "fix the checks above first", data)
    if not trial.metrics:
        found = trial.failure or "it reported nothing"
        return Check("worker", "problem", found, "sweeps meet the same; fix the limits above", data)
    threads = counted(round(trial.metrics["threads"]), "thread")
    if not trial.metrics["jax"]:
        found = f"{threads}; JAX isn't installed for this Python"
        fix = "pip install 'sweeper[models]', unless your trainers do without JAX"
        return Check("worker", "warning", found, fix, data)
    xla = round(trial.metrics["xla_threads"])
    findings: list[Finding] = []
    if xla > 1:
        fix = f"XLA's pool has {xla} threads for one CPU: unset NPROC and PJRT_NPROC"
        findings.append(("problem", fix))
    if trial.metrics["threads"] > WORKER_THREADS:
        fix = f"more than {WORKER_THREADS}: count with them in the limits on processes"
        findings.append(("warning", fix))
    if trial.metrics["stray_threads"]:
        stray = counted(round(trial.metrics["stray_threads"]), "thread")
        fix = f"{stray} may leave the slot's CPU: something here resets the affinity"
        findings.append(("problem", fix))
    memory = f", {size(trial.rss_peak_bytes)} resident" if trial.rss_peak_bytes else ""
    found = f"{threads} on one CPU, XLA's pool has {counted(xla, 'thread')}{memory}"
    return judged("worker", found, findings, data)


def aftermath_check(trial: WaveTrial) -> Check:
    """Whether a wave left anything."""
    findings: list[Finding] = []
    if trial.left:
        findings.append(("problem", "they can't be killed: stuck in the kernel, see `ps -o wchan`"))
    if trial.left_bytes:
        findings.append(("problem", "look for other programs that write to the temp folder"))
    found = "no process and no file left"
    if findings:
        found = f"{counted(trial.left, 'process', 'processes')} and {size(trial.left_bytes)} left"
    data = {"processes": trial.left, "bytes": trial.left_bytes}
    return judged("after a wave", found, findings, data)


@dataclass(frozen=True)
class CacheTrial:
    """Two fresh processes that compiled the same: their reports, or why there are none."""

    folder: Path
    refusal: str | None = None
    reports: tuple[Mapping[str, float], ...] = ()
    complaint: str = ""


def try_cache(inherited: Mapping[str, str]) -> CacheTrial:
    """Compile a program twice, each time in a new process, with the workers' environment.

    In a new folder inside the cache, so that the first process finds nothing; it is deleted.
    """
    tmp = Path(tempfile.gettempdir())
    remove_spoilt(compile_cache_folder(inherited))
    env = wave_environment(
        inherited,
        mark=str(ProcessMark.of_this_process(_RUN)),
        token_file=tmp / "unused",
        tmp=tmp,
        cpus_per_run=1,
    )
    cache = Path(env["JAX_COMPILATION_CACHE_DIR"])
    try:
        with readable_as(cache):  # whatever the user's umask is
            cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="self-test-", dir=cache) as folder:
            # The program is small: no matter how fast it compiles, it must be written.
            env |= {
                "JAX_COMPILATION_CACHE_DIR": folder,
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            }
            return _compile_twice(cache, env)
    except OSError as error:
        return CacheTrial(cache, refusal=error.strerror or str(error))


def _compile_twice(cache: Path, env: Mapping[str, str]) -> CacheTrial:
    reports: list[Mapping[str, float]] = []
    complaint = ""
    for _ in range(2):
        try:
            done = subprocess.run(
                [sys.executable, "-m", _PROBE],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_COMPILE_LIMIT_S,
                check=False,
            )
            complaint = done.stderr
            reports.append(json.loads(done.stdout.splitlines()[-1]))
        except subprocess.TimeoutExpired:
            return CacheTrial(cache, complaint=f"no end within {_COMPILE_LIMIT_S:.0f} s")
        except (ValueError, IndexError):
            return CacheTrial(cache, complaint=complaint)
    return CacheTrial(cache, reports=tuple(reports), complaint=complaint)


def cache_check(trial: CacheTrial) -> Check:
    """Whether a program that one process compiled is found by the next."""
    data: dict[str, Any] = {
        "folder": str(trial.folder),
        "processes": [dict(report) for report in trial.reports],
    }
    slow = "every worker compiles every program anew"
    if trial.refusal is not None:
        fix = f"{slow}: set SWEEPER_CACHE to a folder that you may write"
        found = f"{trial.folder} can't be written: {trial.refusal}"
        return Check("compile cache", "warning", found, fix, data)
    said = " ".join(trial.complaint.split())[-_COMPLAINT_SHOWN:]
    if len(trial.reports) < 2:
        return Check("compile cache", "problem", f"JAX doesn't compile: {said}", _REINSTALL, data)
    first, second = trial.reports
    if not first["jax"]:
        return Check("compile cache", "ok", "not needed: JAX isn't installed", None, data)
    if second["hits"]:
        found = (
            f"hit: {first['compile_s']:.2f} s to compile in one process, "
            f"{second['compile_s']:.2f} s in the next ({trial.folder})"
        )
        return Check("compile cache", "ok", found, None, data)
    if "reading persistent compilation cache" in trial.complaint:
        found = f"jaxlib rejects the programs that it cached itself: {said}"
        fix = f"{slow}: use another jaxlib (known of jax 0.9 and 0.10 on AVX-512 CPUs)"
    else:
        found = f"the second process found nothing in {trial.folder}"
        fix = f"{slow}: unset JAX_ENABLE_COMPILATION_CACHE and other JAX_ variables"
    return Check("compile cache", "warning", found, fix, data)
