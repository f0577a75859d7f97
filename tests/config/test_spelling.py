"""Values that look right and aren't: the message says what to write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper.config import Sweep

Read = Callable[..., Sweep]
Errors = Callable[..., list[tuple[int, int, str]]]

MINUS = "a minus sign that isn't the keyboard's"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("mse_weight: \u20130.1", "it has an en dash: write `-0.1`"),
        ("mse_weight: \u22120.1", f"it has {MINUS}: write `-0.1`"),
        ("mse_weight: 1e\u22123", f"it has {MINUS}: write `1e-3`"),
        ("mse_weight: 1,5", "a decimal point is `.`: write `1.5`"),
        ("mse_weight: 1,000", "a number has no commas: write `1000`, or `.` for a decimal point"),
        ("mse_weight: 10^-3", "a power of ten is written `1e-3`"),
        ("mse_weight: 2.5*10**4", "a power of ten is written `2.5e4`"),
        ("mse_weight: [1, \u20132]", "it has an en dash: write `-2`"),
        ("mse_weight: {values: [1, \u20132]}", "it has an en dash: write `-2`"),
        ("width: 16,", "nothing follows a value: write `16`"),
        ("width: 1 000", "a number has no blanks: write `1000`"),
        ("width: 1\u00a0000", "it has a non-breaking blank: write `1000`"),
        ("width: \uff11\uff16", "it has characters that aren't the keyboard's: write `16`"),
        ("width: 010", "a number has no leading zeros: write `10`"),
        ("width: '16'", "leave out the quotes"),
        ("width:\n   \u2013 16", "it has an en dash: an item of a list begins with `- `"),
        ("lr_strategy: 1e\u20133", "it has an en dash: write `1e-3`"),
        ("clip: None", "`None` is text in YAML: write `null`"),
        ("clip: [None, 1]", "`None` is text in YAML: write `null`"),
        ("activation: \u201ctanh\u201d", "it has typographic quotation marks: write `tanh`"),
        ("optimiser: \u201esgd\u201c", "it has typographic quotation marks: write `sgd`"),
        ("activation: tanh,", "nothing follows a value: write `tanh`"),
        ("planar_constraint: 1", "write true"),
        ("planar_constraint: 'false'", "leave out the quotes"),
        ("wid\u00adth: 3", "it has an invisible hyphen: write `width`"),
        ("\u201cwidth\u201d: 3", "it has typographic quotation marks: write `width`"),
        ("\u00a0width: 3", "it has a non-breaking blank: write `width`"),
    ],
)  # fmt: skip
def test_the_message_names_the_right_spelling(errors: Errors, text: str, hint: str) -> None:
    ((_, _, message),) = errors(f"parameters:\n  {text}")
    assert message.partition("; ")[2] == hint


@pytest.mark.parametrize("word", ["true", "True", "TRUE", "yes", "Yes", "on", "On"])
def test_every_way_to_write_true_is_read(sweep: Read, word: str) -> None:
    (run,) = sweep(f"parameters: {{planar_constraint: {word}}}")
    assert run.config.parameters.planar_constraint is True


def test_a_none_that_fits_no_null_gets_no_hint(errors: Errors) -> None:
    ((_, _, message),) = errors("parameters: {width: None}")
    assert message == "parameters.width: expected an integer > 0, got `None`"


def test_text_that_fits_and_was_probably_not_meant_is_a_warning(
    sweep: Read, tmp_path: Path
) -> None:
    (tmp_path / "worded_study.py").write_text(
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\n"
        "class Config:\n"
        "    word: str | None = None\n"
        "    other: str = ''\n"
        "def train(configs, runs): ...\n"
    )
    text = "trainer: worded_study\nword: None\nother: \u201ca b\u201d\n"
    found = sweep(text, search=[tmp_path])
    assert [(one.line, one.col, one.message) for one in found.warnings] == [
        (2, 7, "word: `None` is text in YAML: write `null`, if no value is meant"),
        (3, 8, "other: `\u201ca b\u201d` has typographic quotation marks, which are part of the "
         'text: write "a b"'),
    ]  # fmt: skip
