"""Datasets read from files and artifacts, and the faults such files have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from models.two_body import DatasetError, is_name, load
from models.two_body.files import write_file

DATA = load("complex_TBP_4_train")
ARRAYS = {"t": DATA.t, "y": DATA.y, "elements": DATA.elements}
Floats: TypeAlias = npt.NDArray[np.float64]

SUFFIXES = [".npz", ".parquet"]


def padded() -> tuple[Floats, Floats]:
    t, y = np.array(DATA.t), np.array(DATA.y)
    t[1, 100:], y[1, 100:] = np.nan, np.nan
    return t, y


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_write_and_read(suffix: str, tmp_path: Path) -> None:
    t, y = padded()
    data = type(DATA)("padded", t, y, DATA.elements)
    path = tmp_path / f"odd name'{suffix}"
    write_file(data, path)
    for text in (path, str(path)):
        back = load(text)
        assert back.name == str(path)
        for field in ("t", "y", "elements"):
            assert np.array_equal(getattr(back, field), getattr(data, field), equal_nan=True)
    assert list(back.lengths) == [360, 100, 360, 360]


def test_elements_are_found_when_a_file_has_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", t=DATA.t.astype(np.float32), y=DATA.y)
    assert np.allclose(load(tmp_path / "bare.npz").elements, DATA.elements, rtol=1e-9)


def with_gap(key: str) -> dict[str, Floats]:
    t, y = padded()
    array = {"t": t, "y": y}[key]
    array[2, 50] = np.nan
    return {"t": t, "y": y}


def falling() -> dict[str, Floats]:
    t = np.array(DATA.t)
    t[3, 7] = t[3, 6]
    return {**ARRAYS, "t": t}


FAULTS: dict[str, dict[str, Any]] = {
    "lacks the array `y`; it has `t`": {"t": DATA.t},
    "must have the shape (orbits, samples, 6)": {"t": DATA.t, "y": DATA.y[..., :4]},
    "`t` must have the shape (4, 360)": {"t": DATA.t[:, :-1], "y": DATA.y},
    "`elements` must have the shape (4, 6)": {**ARRAYS, "elements": DATA.elements[:2]},
    "orbit 2 lacks sample 50 but has sample 51": with_gap("t"),
    "missing samples may only be NaN padding": with_gap("y"),
    "orbit 3: `t` must grow": falling(),
    "fewer than two samples": {**ARRAYS, "y": np.full_like(DATA.y, np.nan)},
    "orbit 0: sample 0 is at the centre": {**ARRAYS, "y": np.zeros_like(DATA.y)},
    "`y` holds no real numbers": {**ARRAYS, "y": DATA.y.astype(complex)},
    "Object arrays cannot be loaded": {**ARRAYS, "y": np.array([object()])},
}


@pytest.mark.parametrize("message", FAULTS)
def test_faults_are_told(message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "faulty.npz", **FAULTS[message])
    with pytest.raises(DatasetError) as caught:
        load(tmp_path / "faulty.npz")
    assert message in str(caught.value)
    assert "faulty.npz" in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    write_file(DATA, tmp_path / "orbits.npz")
    with pytest.raises(DatasetError, match=r"no such file; did you mean `.*orbits\.npz`"):
        load(tmp_path / "orbit.npz")
    (tmp_path / "text.npz").write_text("orbits")
    with pytest.raises(DatasetError, match="can't be read"):
        load(tmp_path / "text.npz")
    with pytest.raises(DatasetError, match=r"must end in one of \.npz, \.parquet"):
        load(tmp_path / "orbits.csv")
    with pytest.raises(DatasetError, match="must end in one of"):
        write_file(DATA, tmp_path / "orbits.csv")


def test_parquet_without_pyarrow_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)  # Python's own way to say: can't be imported
    (tmp_path / "orbits.parquet").touch()
    with pytest.raises(DatasetError, match=r"pip install pyarrow, or use \.npz"):
        load(tmp_path / "orbits.parquet")


def test_an_artifact_needs_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    with pytest.raises(DatasetError, match="not logged in to W&B"):
        load("wandb:them/orbits/complex:v3", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


class StandIn:
    """W&B as far as it is used: artifacts are folders here, and downloads are counted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.downloads = folder, 0

    def login(self, *, prompt: bool, verify: bool) -> bool:
        assert not prompt
        return True

    def Api(self) -> StandIn:  # noqa: N802  (W&B's name)
        return self

    def artifact(self, name: str) -> StandIn:
        if not (self.folder / name).is_dir():
            raise LookupError(f"no artifact {name}")
        self.asked = name
        return self

    def download(self, *, root: str) -> None:
        self.downloads += 1
        for file in (self.folder / self.asked).iterdir():
            Path(root, file.name).write_bytes(file.read_bytes())


@pytest.fixture
def wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn(tmp_path / "server")
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    return stand_in


def test_an_artifact_is_downloaded_once_and_an_alias_each_time(
    wandb: StandIn, tmp_path: Path
) -> None:
    for version in ("v3", "latest"):
        folder = wandb.folder / f"them/orbits/complex:{version}"
        folder.mkdir(parents=True)
        write_file(DATA, folder / "orbits.npz")
    cache = tmp_path / "cache"
    for expected in (1, 1):
        assert np.array_equal(load("wandb:them/orbits/complex:v3", cache=cache).y, DATA.y)
        assert wandb.downloads == expected
    for expected in (2, 3):
        assert np.array_equal(load("wandb:them/orbits/complex:latest", cache=cache).y, DATA.y)
        assert wandb.downloads == expected
    others = load("circular_TBP_2")
    write_file(others, folder / "orbits.npz")
    assert np.array_equal(load("wandb:them/orbits/complex:latest", cache=cache).y, others.y)


def test_a_download_that_fails_leaves_nothing(wandb: StandIn, tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match="can't get it from W&B: no artifact them/orbits/gone:v1"
    ):
        load("wandb:them/orbits/gone:v1", cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob(".part-*"))
    assert not list((tmp_path / "cache").rglob("v1"))


def test_an_artifact_that_is_here_needs_no_network(tmp_path: Path) -> None:
    folder = tmp_path / "wandb" / "them" / "orbits" / "complex" / "v3"
    folder.mkdir(parents=True)
    with pytest.raises(DatasetError, match="but it holds none"):
        load("wandb:them/orbits/complex:v3", cache=tmp_path)
    write_file(DATA, folder / "any.npz")
    assert np.array_equal(load("wandb:them/orbits/complex:v3", cache=tmp_path).y, DATA.y)
    write_file(DATA, folder / "other.npz")
    with pytest.raises(DatasetError, match=r"it holds any\.npz, other\.npz"):
        load("wandb:them/orbits/complex:v3", cache=tmp_path)


def test_what_is_read_by_the_grammar_of_names() -> None:
    assert is_name("complex_TBP_10")
    assert is_name("complx")
    for other in ("orbits.npz", "a.parquet", "folder/complex_TBP_10", "wandb:a/b/c:v1", "wandb:a"):
        assert not is_name(other)


@pytest.mark.parametrize(
    "reference", ["wandb:orbits/complex:v3", "wandb:a/b/c", "wandb:a/../c:v1", "wandb:a/b/c:v1/x"]
)
def test_an_artifact_is_named_in_full(reference: str) -> None:
    with pytest.raises(DatasetError, match="`wandb:entity/project/name:version`"):
        load(reference)
