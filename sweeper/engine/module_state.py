"""What a training has changed in modules: functions put in place of others, settings of its own."""

from __future__ import annotations

import functools
import sys
import sysconfig
from argparse import Namespace
from collections.abc import Iterable, Iterator
from operator import is_
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any, ClassVar, TypeAlias

__all__ = ["ModuleState", "is_library"]

_FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType, type)
_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_NAMESPACES = (SimpleNamespace, Namespace)
_PATHS = sysconfig.get_paths()
_LIBRARIES = tuple(
    f"{place}/"
    for place in {
        *(_PATHS[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(__file__).parents[1]),
    }
)
_PACKAGES = {"site-packages", "dist-packages"}
_MOST_ITEMS = 10_000
_Seen: TypeAlias = tuple[ModuleType, tuple[str, ...], tuple[Any, ...]]


def is_library(name: str) -> bool:
    """Whether a module of this name was loaded that isn't the user's own."""
    module = sys.modules.get(name)
    return module is not None and not _is_own(module)


def _is_own(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and _is_own_file(file)


@functools.cache
def _is_own_file(file: str) -> bool:
    if file.startswith(_LIBRARIES):
        return False
    return not _PACKAGES.intersection(Path(file).parts)  # also those of a folder on PYTHONPATH


def _is_plain(value: Any, depth: int = 3) -> bool:
    """Whether a value is numbers and text, or lists and mappings of them."""
    if isinstance(value, _PLAIN):
        return True
    if not depth or type(value) not in (list, tuple, set, frozenset, dict):
        return False
    if len(value) > _MOST_ITEMS:
        return False
    inner: Iterable[Any] = [*value, *value.values()] if isinstance(value, dict) else value
    return all(_is_plain(item, depth - 1) for item in inner)


def _plain_data(value: Any) -> dict[str, str]:
    """Plain data as text: the value itself, or attributes of a class or object of the user's.

    Of a mapping, list or set each entry, so that what is added can be told from what is changed.
    """
    if _is_plain(value):
        if isinstance(value, dict):
            return {f"[{key!r}]": repr(item) for key, item in value.items()}
        if isinstance(value, list):
            return {f"[{index}]": repr(item) for index, item in enumerate(value)}
        if isinstance(value, set):
            return {f"[{item!r}]": "" for item in value}
        return {"": repr(value)}
    kind = value if isinstance(value, type) else type(value)
    module = sys.modules.get(str(kind.__module__))
    own = kind in _NAMESPACES or (type(module) is ModuleType and _is_own(module))
    if not own or not hasattr(value, "__dict__"):
        return {}
    inner = dict(vars(value))
    return {
        f".{name}": repr(item)
        for name, item in inner.items()
        if not str(name).startswith("__") and _is_plain(item)
    }


class _Variable:
    """A variable of one of the user's own modules: its object, and the plain data in it."""

    def __init__(self, value: Any) -> None:
        self.data = _plain_data(value)
        self._value = value
        # Empty when it was first seen: to be filled. Additions to others are settings.
        self._is_cache = type(value) in (dict, list, set) and not value

    def changed(self, value: Any) -> str | None:
        """Which part of it has been changed, "" for all of it; None where nothing was.

        To fill what was empty or None is no change: that is how a cache begins.
        """
        if value is self._value and isinstance(value, _PLAIN):
            return None
        before, later = self.data, _plain_data(value)
        if before == later or self._value is None:
            return None
        for part, text in before.items():
            lazy = text == "None" and part.startswith("._")
            if not lazy and later.get(part, text) != text:
                return part if part.startswith(".") else ""
        if type(value) is type(self._value) and type(value) in (dict, list, set):
            entries = not self._is_cache and bool(before) and before.keys() != later.keys()
            seen = bool(later) or not value  # else it holds objects by now, which no look tells
            return "" if entries and seen else None
        return None

    def refresh(self, value: Any) -> None:
        """Take what is in it now for its beginning."""
        if value is not self._value or not isinstance(value, _PLAIN):
            self.data, self._value = _plain_data(value), value


class ModuleState:
    """Public functions and classes of all modules now, and plain data in the user's own modules.

    A cache is no setting: arrays, models, compiled functions, and whatever holds such, may be kept
    from run to run. So may plain data in what was empty or None before.
    """

    _last: ClassVar[ModuleState | None] = None
    """The state after the run before, in which nothing had been changed: only what was imported
    since is looked at anew."""

    def __init__(self) -> None:
        last, ModuleState._last = ModuleState._last, None
        self._seen: dict[str, _Seen] = last._seen if last else {}
        self._plain: dict[tuple[str, str], _Variable] = last._plain if last else {}
        for name, module in list(sys.modules.items()):
            # Not the inner modules of large libraries, and none that a look at would load.
            if (
                name not in self._seen
                and type(module) is ModuleType
                and (name.count(".") < 2 or _is_own(module))
            ):
                self._see(name, module)

    def _see(self, name: str, module: ModuleType) -> None:
        inner = dict(vars(module))
        self._seen[name] = module, tuple(inner), tuple(inner.values())
        if _is_own(module):
            for item, value in inner.items():
                if item.startswith("__"):
                    continue
                known = self._plain.get((name, item))
                if known is None:
                    self._plain[name, item] = _Variable(value)
                else:
                    known.refresh(value)

    def changed(self) -> str | None:
        """What has been changed, in words; None if nothing was."""
        change = next(self._changes(), None)
        if change is None:
            for name, (module, _, values) in list(self._seen.items()):
                now = vars(module)
                same = len(now) == len(values) and all(map(is_, values, now.values()))
                if not same or _is_own(module):
                    self._see(name, module)
            ModuleState._last = self
        return change

    def _changes(self) -> Iterator[str]:
        for name, (module, names, values) in self._seen.items():
            if sys.modules.get(name, module) is not module:
                yield f"it has replaced the module {name}"
            now = vars(module)
            if all(map(is_, values, now.values())) and len(now) >= len(values):
                continue
            for item, value in zip(names, values, strict=True):
                if (
                    not item.startswith("_")
                    and isinstance(value, _FUNCTIONS)
                    and now.get(item) is not value
                ):
                    yield f"it has replaced {name}.{item}"
        for (name, item), variable in self._plain.items():
            part = variable.changed(vars(self._seen[name][0]).get(item))
            if part is not None:
                yield f"it has changed {name}.{item}{part}"
