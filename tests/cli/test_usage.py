"""What a wrong command line says, and what each command's help offers."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeper.cli import app
from sweeper.cli.common import USER_ERROR, guarded
from sweeper.cli.usage import commands_of
from sweeper.suggest import closest

COMMANDS = commands_of(app)


def said(capsys: pytest.CaptureFixture[str], line: str) -> list[str]:
    assert guarded(app, line.split()) == USER_ERROR
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("launch x --shred", "sweep launch has no option `--shred`; did you mean `--shared`?"),
        ("launch x --name b", "sweep launch has no option `--name`"),
        ("retry g --empty-cause", "sweep retry has no option `--empty-cause`"),
        ("launch x --memory=3", "sweep launch has no option `--memory`"),
        ("retry --mem=3", "sweep retry has no option `--mem`; did you mean `--memory-per-run`?"),
        ("launch", "sweep launch needs a sweep file: `sweep launch my-sweep.yaml`"),
        ("show", "sweep show needs a run: `sweep show k3f9x2qa7m`"),
        ("evaluate g", "sweep evaluate needs `--datasets`"),
        ("status a b", "sweep status: `b` is one argument too many"),
        ("show a b c", "sweep show: `b`, `c` are 2 arguments too many"),
        ("plan a --cpus", "`--cpus` needs a value"),
        ("plan a --cpus x", "--cpus: expected a whole number, but got `x`"),
        ("plan a --cpus 1 --cpus 2", "`--cpus` is given twice: keep one of them"),
        (
            "table --format jsn",
            "--format: expected one of `table`, `markdown`, `csv`, `json`, but got `jsn`; "
            "did you mean `json`?",
        ),
    ],
)
def test_a_wrong_line_gets_one_sentence_and_its_help(
    capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    command = line.split(maxsplit=1)[0]
    assert said(capsys, line) == [message, f"See: `sweep {command} --help`"]


def test_an_option_of_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--verion") == [
        "sweep has no option `--verion`; did you mean `--version`?",
        "See: `sweep --help`",
    ]


def test_all_commands_are_listed_when_one_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "foo") == [
        "there is no command `foo`",
        f"Commands: {', '.join(COMMANDS)}",
        "See: `sweep --help`",
    ]


def test_the_nearest_command_is_listed_first(capsys: pytest.CaptureFixture[str]) -> None:
    first, commands, _ = said(capsys, "staus")
    assert first == "there is no command `staus`; did you mean `status`?"
    assert commands.startswith("Commands: status, completion, ")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_offers_no_flag_that_nobody_would_type(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    guarded(app, [command, "--help"])
    text = capsys.readouterr().out
    wanted = text.replace("--no-brake", "")
    assert [word for word in ("--no-", "--empty-", "None", "True", "False") if word in wanted] == []


def test_a_negative_flag_that_is_wanted_works(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert guarded(app, ["launch", str(tmp_path / "none.yaml"), "--no-brake"]) == USER_ERROR
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("--set", None),
        ("--cpuss", "--cpus"),
        ("--shread", "--shared"),
        ("--cpus-per", "--cpus-per-run"),
        ("-x", None),
        ("", None),
    ],
)
def test_only_close_spellings_are_suggested(word: str, found: str | None) -> None:
    options = ["--cpus", "--cpus-per-run", "--shared", "--shard", "--no-brake", "-f"]
    assert closest(word, options) == found
