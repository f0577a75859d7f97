"""Launches in tmux, as far as no tmux is needed; tests/real/test_tmux.py has the rest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from sweeper.errors import SweeperError
from sweeper.submit.base import without_options
from sweeper.submit.tmux import check_name, check_tmux, logout_note, session_name
from sweeper.submit.tmux_session import environment


def test_the_session_runs_the_command_without_the_options_that_start_it() -> None:
    given = ["launch", "a b.yaml", "--tmux", "--set", "x=1", "--tmux-name", "n", "--json"]
    assert without_options([*given, "--tmux-name=m"], ["--tmux", "--json"], ["--tmux-name"]) == [
        *("launch", "a b.yaml", "--set", "x=1")
    ]


@pytest.mark.parametrize(
    ("group", "shard", "name"),
    [
        ("quickstart", None, "sweep-quickstart"),
        ("a.b: c/d", "2/4", "sweep-a_b__c_d-2of4"),
        ("größe", None, "sweep-größe"),
    ],
)
def test_a_session_is_named_after_its_group(group: str, shard: str | None, name: str) -> None:
    assert session_name(group, shard) == name
    check_name(name)


@pytest.mark.parametrize("name", ["", "a.b", "a:b", "=a", "-a", "$1", "a b", "#{pid}", "a\nb"])
def test_a_name_that_tmux_would_change_is_refused(name: str) -> None:
    with pytest.raises(SweeperError, match="expected letters, digits"):
        check_name(name)


def test_without_tmux_it_is_said_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(SweeperError, match="apt install tmux"):
        check_tmux({"PATH": str(tmp_path)}, "s")


def test_a_path_that_is_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    tmux = tmp_path / "tmux"
    tmux.write_text("#!/bin/sh\nexit 1\n")
    tmux.chmod(0o700)
    with pytest.raises(SweeperError, match="TMUX_TMPDIR is too long"):
        check_tmux({"PATH": str(tmp_path), "TMUX_TMPDIR": "/tmp/" + "x" * 90}, "s")


def test_the_environment_is_handed_over_except_for_the_terminal() -> None:
    given = {"TOKEN": "a\nb", "TERM": "dumb", "TMUX": "outer", "COLUMNS": "10", "COLORTERM": "x"}
    here = {"TERM": "screen", "TMUX": "inner", "TMUX_PANE": "%1", "HOME": "/elsewhere"}
    assert environment(given, here) == {
        "TOKEN": "a\nb",
        "TERM": "screen",
        "TMUX": "inner",
        "TMUX_PANE": "%1",
    }


def host(kills: str, lingers: str) -> str | None:
    def answer(command: Sequence[str]) -> str:
        return {"KillUserProcesses": kills, "Linger": lingers}[
            command[command.index("-p") + 1]
        ] + "\n"

    return logout_note(answer, os.getuid())


def test_most_hosts_keep_what_runs_after_logout() -> None:
    assert host("no", "no") is None
    assert host("", "") is None  # without systemd


def test_a_host_that_ends_processes_at_logout_is_named_with_what_to_do() -> None:
    note = host("yes", "no")
    assert note is not None
    assert note.endswith(
        "loginctl enable-linger; systemd-run --user --scope tmux new-session -d -s keep"
    )
    lingering = host("yes", "yes")
    assert lingering is not None
    assert "enable-linger" not in lingering
