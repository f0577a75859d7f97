"""What is wrong with a command line, in our words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from sweeper.suggest import closest, listed, shown

__all__ = ["commands_of", "usage_error"]

# What a command needs, by the name of its argument, and an example of it.
_NEEDS: Mapping[str, tuple[str, str]] = {
    "FILE": ("a sweep file", "my-sweep.yaml"),
    "RUN": ("a run", "k3f9x2qa7m"),
    "GROUP": ("a group", "quickstart"),
    "SHELL": ("a shell", "bash"),
    "NEW": ("the new name", "OLD NEW"),
    "TARGET": ("a run or a group", "k3f9x2qa7m"),
    "TARGETS": ("a group or runs", "k3f9x2qa7m"),
}
_KINDS: Mapping[Any, str] = {int: "a whole number", float: "a number", bool: "true or false"}


def commands_of(app: App) -> list[str]:
    """The names of the commands that `--help` lists, sorted."""
    return sorted(name for name in app if not name.startswith("-") and app[name].show)


def usage_error(error: CycloptsError, app: App, arguments: Sequence[str]) -> str:
    """What is wrong, and which help says more."""
    names = commands_of(app)
    command = next((word for word in arguments if not word.startswith("-")), "")
    called = f"sweep {command}" if command in names else "sweep"
    return f"{_sentence(error, names, called)}\nSee: `{called} --help`"


def _sentence(error: CycloptsError, commands: Sequence[str], called: str) -> str:
    match error:
        case UnknownCommandError():
            return _no_command((error.unused_tokens or [""])[0], commands)
        case UnknownOptionError():
            word = (error.token.keyword or error.token.value).partition("=")[0]
            options = [
                name
                for argument in error.argument_collection
                if argument.parse
                for name in argument.names
                if name.startswith("-")
            ]
            return f"{called} has no option `{shown(word)}`{_meant(word, options)}"
        case UnusedCliTokensError():
            extra = error.unused_tokens or []
            number = "is one argument" if len(extra) == 1 else f"are {len(extra)} arguments"
            return f"{called}: {listed(extra)} {number} too many"
        case MissingArgumentError():
            return _missing(error, called)
        case CoercionError():
            return _misfit(error)
        case RepeatArgumentError():
            return f"`{error.token.keyword}` is given twice: keep one of them"
        case _:
            return str(error)


def _no_command(word: str, commands: Sequence[str]) -> str:
    if word.startswith("-"):
        return f"sweep has no option `{shown(word)}`{_meant(word, ['--help', '--version'])}"
    near = closest(word, commands)
    first = [near] if near else []
    names = ", ".join([*first, *(name for name in commands if name != near)])
    return f"there is no command `{shown(word)}`{_meant(word, commands)}\nCommands: {names}"


def _meant(word: str, words: Iterable[str]) -> str:
    near = closest(word, words)
    return f"; did you mean `{near}`?" if near else ""


def _missing(error: MissingArgumentError, called: str) -> str:
    assert error.argument is not None
    name = error.keyword or error.argument.name
    given = [token.keyword for token in error.argument.tokens if token.keyword]
    if given or error.keyword:
        return f"`{(given or [name])[-1]}` needs a value"
    if name.startswith("-"):
        return f"{called} needs `{name}`"
    what, example = _NEEDS.get(name, (f"an argument {name}", name))
    return f"{called} needs {what}: `{called} {example}`"


def _misfit(error: CoercionError) -> str:
    """A value that doesn't fit its option."""
    token, argument = error.token, error.argument
    if token is None or error.msg is not None:
        return str(error)
    name = token.keyword or (argument.name if argument is not None else "")
    if get_origin(error.target_type) is Literal:
        words = [str(word) for word in get_args(error.target_type)]
        expected, hint = f"one of {listed(words)}", _meant(token.value, words)
    else:
        expected, hint = _KINDS.get(error.target_type, "another value"), ""
    return f"{name}: expected {expected}, but got `{shown(token.value)}`{hint}"
