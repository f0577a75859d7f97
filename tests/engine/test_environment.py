"""The environment of a wave's processes."""

from __future__ import annotations

from pathlib import Path

from sweeper.engine.environment import wave_environment, worker_environment


def test_what_the_user_set_stands_and_what_ties_to_other_sessions_goes(tmp_path: Path) -> None:
    env = wave_environment(
        {
            "RAY_ADDRESS": "10.0.0.1:6379",
            "RAY_TMPDIR": "/tmp/elsewhere",
            "WANDB_SERVICE": "2-1-tcp-localhost-1",
            "OMP_NUM_THREADS": "7",
            "PYTHONPATH": "/mine",
            "NPROC": "7",
            "HOME": "/home/me",
        },
        mark="m",
        token_file=tmp_path / "token",
        tmp=tmp_path,
        cpus_per_run=2,
    )
    assert "RAY_ADDRESS" not in env
    assert "RAY_TMPDIR" not in env
    assert "WANDB_SERVICE" not in env
    assert env["OMP_NUM_THREADS"] == "7"
    assert env["OPENBLAS_NUM_THREADS"] == "2"
    assert env["PYTHONPATH"] == "/mine"
    assert "NPROC" not in env  # XLA believes it more than the affinity
    assert env["RAY_preload_python_modules"] == "sweeper.engine.slot_actor"
    assert env["JAX_COMPILATION_CACHE_DIR"].startswith("/home/me/.cache/sweeper/xla/")
    assert "XLA_FLAGS" not in env


def test_trainings_are_not_given_the_key_of_the_mirror(tmp_path: Path) -> None:
    """What a training prints of its environment lands in a log that may be shared."""
    env = wave_environment(
        {"WANDB_API_KEY": "secret", "HOME": "/"},
        mark="m",
        token_file=tmp_path / "token",
        tmp=tmp_path,
        cpus_per_run=1,
    )
    assert "secret" not in env.values()


def test_settings_of_python_that_ray_cant_start_with_reach_the_trainings_alone(
    tmp_path: Path,
) -> None:
    theirs = {"PYTHONOPTIMIZE": "2", "PYTHONTRACEMALLOC": "5", "PYTHONINSPECT": "1"}
    wave = wave_environment(
        {**theirs, "HOME": "/"}, mark="m", token_file=tmp_path, tmp=tmp_path, cpus_per_run=1
    )
    assert theirs.keys() & wave.keys() == set()
    assert worker_environment(wave).items() >= theirs.items()
