"""Sweep files as users write them: from text to axes, defaults and errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sweeper.config import Resources, Sweep, plain, read_sweep
from sweeper.errors import ConfigError, SweeperError, TrainerError

Read = Callable[..., Sweep]
Errors = Callable[..., list[tuple[int, int, str]]]
TRAINERS = Path(__file__).parent / "trainers"

USERS = """
wandb:
  group: sweep-2BP-12-10
  project: node
  tags: [2BP]
data:
  dataset_name:
    - complex_TBP_planar_1_train
    - complex_TBP_planar_10_train
    - complex_TBP_planar_100_train
  problem: 2BP
parameters:
  length_strategy: [[[0, .1], [0, 1], [0, 1]], [0.0, 1.0]]
  lr_strategy: [1e-3, 1e-3, 1e-4]
  steps_strategy: [1000, 1000, 1000]
  segment_length_strategy: [[4], [10], [18]]
  width: [64]
  depth: [2, 4]
  train_val_split: 1
  batch_size: 256
  loss: percent_error_plus_nmse
  activation: [tanh, leaky_relu]
  feature_layer: [sph_4D_rinv_vel, sph_4D_rinv_vel_harmonics]
  output_layer: [mlp_4D_signed, mlp_4D, mlp_4D_unit_softplus, mlp_4D_logmag_unit_exp]
"""


def test_the_users_own_format(sweep: Read) -> None:
    found = sweep(USERS)
    assert found.group == "sweep-2BP-12-10"
    assert found.wandb == {"project": "node", "tags": ["2BP"]}
    # datasets, length strategies, segments, depths, activations, features, heads
    assert found.grid_size() == found.count() == 3 * 2 * 3 * 2 * 2 * 2 * 4 == 576
    assert [(axis.label, len(axis.values)) for axis in found.axes] == [
        ("dataset_name", 3),
        ("length_strategy", 2),
        ("segment_length_strategy", 3),
        ("depth", 2),
        ("activation", 2),
        ("feature_layer", 2),
        ("output_layer", 4),
    ]
    assert found.axes[1].key == "parameters.length_strategy"
    assert found.axes[1].values[1] == ((0.0, 1.0),)
    assert found.axes[1].plain_values[1] == [[0.0, 1.0]]
    first = next(iter(found)).config.parameters
    assert first.lr_strategy == (1e-3, 1e-3, 1e-4)
    assert (first.width, first.train_val_split) == (64, 1.0)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("width : 16", "width", 16),
        ("'width'   :   16", "width", 16),
        ("width: 16   # was: [64, 128]", "width", 16),
        ("width: [16]# was 64", "width", 16),
        ("# width: 64\n  width: 16\n  #  - 64", "width", 16),
        ("train_val_split: 1", "train_val_split", 1.0),
        ("train_val_split: 1.0", "train_val_split", 1.0),
        ("train_val_split: [1, ]", "train_val_split", 1.0),
        ("lr_strategy: [0.001, ]", "lr_strategy", (0.001,)),
        ("lr_strategy: [[0.001, ]]", "lr_strategy", (0.001,)),
        ("lr_strategy: 0.001", "lr_strategy", (0.001,)),
        ("feature_layer: 'sph_4D'", "feature_layer", "sph_4D"),
        ('feature_layer: "sph_4D"# old', "feature_layer", "sph_4D"),
    ],
)
def test_a_value_can_be_written_in_the_ways_that_users_write_it(
    sweep: Read, text: str, key: str, value: object
) -> None:
    (run,) = sweep(f"data: {{problem: '2BP'}}\nparameters : # all of them\n  {text}\n")
    found = getattr(run.config.parameters, key)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("problem", ["2BP", "'2BP'", '"2BP"'])
def test_a_word_can_be_quoted(sweep: Read, problem: str) -> None:
    (run,) = sweep(f"data: {{problem: {problem}}}")
    assert run.config.data.problem == "2BP"


def test_a_list_of_lists_with_commas_at_their_ends_is_an_axis(sweep: Read) -> None:
    (axis,) = sweep("parameters: {segment_length_strategy: [[4,],[10,],[18,]]}").axes
    assert axis.values == ((4,), (10,), (18,))


def test_a_comment_without_a_space_before_it_is_part_of_the_word(errors: Errors) -> None:
    assert errors("parameters:\n  width: 16# was 64\n  activation: tanh#gelu") == [
        (
            2,
            10,
            "parameters.width: expected an integer > 0, got `16# was 64`; "
            "a comment needs a space before its `#`",
        ),
        (
            3,
            15,
            "parameters.activation: expected one of `tanh`, `leaky_relu`, `gelu`, `elu`, "
            "got `tanh#gelu`; a comment needs a space before its `#`",
        ),
    ]


def test_a_section_that_is_given_twice_alike_is_a_warning(sweep: Read) -> None:
    found = sweep("data: {problem: 2BP}\nparameters: {width: [8, 16]}\ndata:\n  problem: '2BP'\n")
    assert [(warning.line, warning.col, warning.message) for warning in found.warnings] == [
        (3, 1, "`data` is given twice, on line 1 and on line 3")
    ]
    assert found.count() == 2


def test_a_section_that_is_given_twice_differently_is_an_error(errors: Errors) -> None:
    assert errors("data: {problem: 2BP}\ndata: {problem: 3BP}\n") == [
        (2, 1, "`data` is given twice, on line 1 and on line 2, with different values: keep one")
    ]


@pytest.mark.parametrize(
    ("text", "width"),
    [("width: 16", 16), ("width: [16]", 16), ("depth: 3", 32), ("width: [16, 8]", 16)],
)
def test_a_scalar_overrides_the_default_just_as_lists_do(
    sweep: Read, tmp_path: Path, text: str, width: int
) -> None:
    (tmp_path / "default.yaml").write_text("trainer: orbit_study\nparameters: {width: [32]}\n")
    found = sweep(f"parameters:\n  {text}\n", folder=tmp_path / "sweeps")
    assert found.defaults_file == tmp_path / "default.yaml"
    assert next(iter(found)).config.parameters.width == width


def test_the_nearest_default_file_of_this_trainer_counts(sweep: Read, tmp_path: Path) -> None:
    above = tmp_path / "default.yaml"
    beside = tmp_path / "sweeps" / "default.yaml"
    above.write_text("trainer: orbit_study\nparameters: {depth: 7, width: 7}\n")
    folder = tmp_path / "sweeps"
    assert sweep("data: {}", folder=folder).defaults_file == above
    beside.write_text("trainer: orbit_study\nparameters: {depth: 5}\n")
    found = sweep("data: {}", folder=folder)
    assert found.defaults_file == beside
    parameters = next(iter(found)).config.parameters
    assert (parameters.depth, parameters.width) == (5, 64)
    # Without `trainer` it's the neural ODE's, which this sweep isn't: the next one counts.
    beside.write_text("parameters: {depth: 5}\n")
    assert sweep("data: {}", folder=folder).defaults_file == above
    # A sweep of the defaults themselves doesn't build on itself.
    assert sweep(above.read_text(), name="default.yaml").defaults_file is None


def test_a_default_file_has_one_value_per_key_and_its_errors_are_its_own(
    errors: Errors, sweep: Read, tmp_path: Path
) -> None:
    file = tmp_path / "default.yaml"
    file.write_text(
        "trainer: orbit_study\nseeds: 3\nparameters:\n  width: [1, 2]\n  dpeth: 3\n"
        "  segment_length_strategy: [4, 18]\n"
    )
    with pytest.raises(ConfigError) as caught:
        sweep("parameters: {depth: x}")
    problems = caught.value.problems
    assert [Path(problem.file).name for problem in problems] == ["some.yaml"] + ["default.yaml"] * 3
    assert [(problem.line, problem.message) for problem in problems[1:]] == [
        (2, "seeds: belongs in a sweep file, not in default.yaml"),
        (4, "parameters.width: a default has one value, not 2"),
        (5, "parameters.dpeth: unknown key; did you mean `depth`?"),
    ]
    file.write_text("a: [\n")
    assert "not valid YAML" in errors("data: {}")[0][2]


def test_single_keys_of_a_tagged_section_override_those_of_the_default_file(
    sweep: Read, tmp_path: Path
) -> None:
    file = tmp_path / "default.yaml"
    file.write_text("trainer: orbit_study\nparameters: {optimiser: {name: sgd, momentum: 0.5}}\n")
    optimiser = next(iter(sweep("parameters: {optimiser: {nesterov: on}}")))
    assert plain(optimiser.config)["parameters"]["optimiser"] == {
        "name": "sgd",
        "momentum": 0.5,
        "nesterov": True,
    }
    file.write_text("trainer: orbit_study\nparameters: {optimiser: sgd}\n")
    found = sweep("parameters: {optimiser: {momentum: [0, .9]}}")
    assert [axis.key for axis in found.axes] == ["parameters.optimiser.momentum"]
    found = sweep("parameters: {optimiser: [{momentum: .9}, adam, {name: adam, b1: .5}]}")
    assert [value["name"] for value in found.axes[0].plain_values] == ["sgd", "adam", "adam"]
    assert found.axes[0].plain_values[0]["momentum"] == 0.9


def test_every_error_is_in_one_report_in_file_order(errors: Errors) -> None:
    text = """\
trainer: orbit_study
wandb: {gruop: x, mode: onlin}
data:
  dataset_name: [a, 1, b]
  problem: 4BP
activation: tanh
parameters:
  lenght_strategy: [0, 1]
  lr_strategy: [1e-3, -1, abc]
  segment_length_strategy: [[4], [1.5]]
  activation: [tanh, leaky_rleu]
  activation: gelu
  optimiser: {name: adm}
  seed: 3
seeds: 4
zip: [activation, width]
exclude: {depth: two}
resources: {timeout: 5 parsecs, cpus_per_run: 0, memory: 2GB}
"""
    assert errors(text) == [
        (2, 9, "wandb.gruop: unknown key; did you mean `group`?"),
        (
            2,
            25,
            "wandb.mode: expected one of `online`, `offline`, `disabled`, `shared` or null, "
            "got `onlin`; did you mean `online`?",
        ),
        (4, 21, 'data.dataset_name: expected text, got the number 1; quote it: "1"'),
        (
            5,
            12,
            "data.problem: expected one of `2BP`, `3BP`, got `4BP`; did you mean `3BP`?",
        ),
        (6, 1, "activation: unknown key; did you mean `parameters.activation`?"),
        (8, 3, "parameters.lenght_strategy: unknown key; did you mean `length_strategy`?"),
        (9, 23, "parameters.lr_strategy[1]: expected a number > 0, got the number -1"),
        (9, 27, "parameters.lr_strategy[2]: expected a number > 0, got `abc`"),
        (
            10,
            35,
            "parameters.segment_length_strategy[0]: expected an integer ≥ 2, got the number 1.5",
        ),
        (
            11,
            22,
            "parameters.activation: expected one of `tanh`, `leaky_relu`, `gelu`, `elu`, "
            "got `leaky_rleu`; did you mean `leaky_relu`?",
        ),
        (
            12,
            3,
            "`activation` is given twice, on line 11 and on line 12, with different values: "
            "keep one",
        ),
        (
            13,
            21,
            "parameters.optimiser.name: expected one of `adam`, `sgd`, got `adm`; "
            "did you mean `adam`?",
        ),
        (15, 1, "seeds: `parameters.seed` is given too, on line 14: keep one of them"),
        (17, 18, "exclude: parameters.depth: expected an integer > 0, got `two`"),
        (
            18,
            22,
            "resources.timeout: expected a duration (`10 min`, or a number of seconds) or null, "
            "got `5 parsecs`",
        ),
        (18, 47, "resources.cpus_per_run: expected an integer ≥ 1, got the number 0"),
        (18, 50, "resources.memory: unknown key; did you mean `memory_per_run`?"),
    ]


def test_the_report_shows_the_line_and_a_caret(sweep: Read, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        sweep("parameters:\n  activation: [tanh, tahn]\n")
    assert str(caught.value) == (
        f"{tmp_path}/some.yaml:2:22: parameters.activation: expected one of `tanh`, "
        "`leaky_relu`, `gelu`, `elu`, got `tahn`; did you mean `tanh`?\n"
        "     activation: [tanh, tahn]\n"
        "                        ^"
    )


def test_a_long_list_of_errors_in_one_field_is_cut(errors: Errors) -> None:
    items = ", ".join("x" * 3 for _ in range(50))
    found = errors(f"parameters: {{width: [{items}]}}")
    assert len(found) == 11
    assert found[-1][2] == "parameters.width: and 40 more like this"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("width: 3", "width: unknown key; did you mean `parameters.width`?"),
        ("paramters: {}", "paramters: unknown key; did you mean `parameters`?"),
        ("exlude: []", "exlude: unknown key; did you mean `exclude`?"),
        ("activaton: tanh", "activaton: unknown key; did you mean `parameters.activation`?"),
        ("momentun: 1", "momentun: unknown key; known are `data`, `parameters`, `trainer`"),
        (
            "data: {batch_size: 3}",
            "data.batch_size: unknown key; did you mean `parameters.batch_size`?",
        ),
        (
            "data: 3",
            "data: expected a mapping with keys of `dataset_name`, `problem`, got the number 3",
        ),
    ],
)
def test_an_unknown_key_is_reported_with_the_one_that_was_meant(
    errors: Errors, text: str, message: str
) -> None:
    assert errors(text)[0][2].startswith(message)


@pytest.mark.parametrize("text", ["data:\nparameters:\n", "data: {}\n", "group: x\n"])
def test_a_file_without_axes_is_one_run(sweep: Read, text: str) -> None:
    found = sweep(text)
    assert (found.axes, found.count(), found.grid_size()) == ((), 1, 1)
    (run,) = found
    assert run.axis_values == {}
    assert run.config.parameters.width == 64


def test_groups(sweep: Read, errors: Errors) -> None:
    assert sweep("data: {}", name="heads-10-orbits.yaml").group == "heads-10-orbits"
    assert sweep("group: one").group == "one"
    assert sweep("wandb: {group: two}").group == "two"
    assert sweep("group: two\nwandb: {group: two}").group == "two"
    assert sweep("group: Größe (2.5, a+b) = x@y").group == "Größe (2.5, a+b) = x@y"
    assert sweep("group: " + "x" * 100).group == "x" * 100
    assert (
        "`one` here, `two` as `wandb.group`: keep one"
        in (errors("group: one\nwandb: {group: two}")[0][2])
    )
    line, _, message = errors("data: {}", name="what?.yaml")[0]
    assert line == 0
    assert message.endswith("are allowed; give `group` in the file")


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("../x", "is a path"),
        ("/tmp/x", "is a path"),
        ("a\\\\b", "is a path"),
        ("..", "is a path"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("a\\nb", "has '\\n'"),
        ("a\\0b", "has '\\x00'"),
        ("a$b", "has '$'"),
        (".hidden", "must begin with"),
        ("-x", "must begin with"),
        ("x ", "not end with a space"),
        ("x" * 101, "longer than 100"),
        ("あ" * 90, "longer than 100"),
    ],
)
def test_a_group_that_is_no_name_is_refused(errors: Errors, group: str, words: str) -> None:
    for text in (f'group: "{group}"', f'wandb: {{group: "{group}"}}'):
        (error,) = errors(text)
        assert error[0] == 1
        assert error[2].startswith("group: ")
        assert words in error[2]


@pytest.mark.parametrize("value", ["2024", "[a, b]", "{a: 1}", "null"])
def test_a_group_is_text(errors: Errors, value: str) -> None:
    assert "expected text" in errors(f"group: {value}")[0][2]


def test_a_trainer_that_is_not_there_is_reported_at_its_place(errors: Errors) -> None:
    found = errors("group: a/b\ntrainer: no_such_module\n")
    assert [line for line, _, _ in found] == [1, 2]
    assert "no module named 'no_such_module'" in found[1][2]
    assert errors("trainer: [a]")[0][2] == "trainer: expected text, got a list of 1"
    assert "lacks" not in errors("trainer: ''")[0][2]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("stepz: 3", " (the file has no `trainer`, so it is for `neural_ode`)"),
        ("stepz: 3\nwidth: 4", ""),  # a key of the default trainer, in the wrong section
    ],
)
def test_a_forgotten_trainer_is_named(tmp_path: Path, text: str, note: str) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_sweep(tmp_path / "own.yaml")
    said = caught.value.problems[0].message
    assert said.startswith("stepz: unknown key")
    assert said.partition(" (the file")[1:] == note.partition(" (the file")[1:]


def test_reserved_names_in_a_config_are_the_trainers_error(sweep: Read) -> None:
    with pytest.raises(TrainerError, match="fields `group`, `seeds`"):
        sweep("trainer: clashing_study")


def test_required_fields_are_asked_for_where_they_belong(errors: Errors, sweep: Read) -> None:
    assert errors("trainer: strict_study\nmodel:\n  depth: 3\n") == [
        (0, 0, "steps: is required, and has no value"),
        (2, 1, "model.width: is required, and has no value"),
    ]
    # A field with a error of its own isn't missing as well.
    assert [message for _, _, message in errors("trainer: strict_study\nsteps: x\nmodel: 3")] == [
        "steps: expected an integer, got `x`",
        "model: expected a mapping with keys of `width`, `depth`, `seed`, got the number 3",
    ]
    assert sweep("trainer: strict_study\nsteps: 1\nmodel: {width: 3}").count() == 1


def test_default_files_may_leave_required_fields_to_the_sweep(sweep: Read, tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text("trainer: strict_study\nsteps: 9\n")
    assert next(iter(sweep("trainer: strict_study\nmodel: {width: 3}"))).config.steps == 9


def test_a_combination_that_the_config_refuses_is_an_invalid_run(sweep: Read) -> None:
    runs = list(
        sweep(
            """
            trainer: strict_study
            model: {width: [1, 2]}
            steps: [2, 3]
            bounds: {low: [0, 2]}
            """
        )
    )
    assert [run.invalid for run in runs] == [
        (),
        ("bounds: `low <= high` must hold, but got low=2.0, high=1.0",),
    ] * 2 + [
        ("TypeError: steps and width are the same",),
        ("bounds: `low <= high` must hold, but got low=2.0, high=1.0",),
        (),
        ("bounds: `low <= high` must hold, but got low=2.0, high=1.0",),
    ]
    assert all((run.config is None) == bool(run.invalid) for run in runs)
    assert len({run.id for run in runs}) == 8


def test_what_no_axis_can_fix_is_wrong_with_every_run(sweep: Read) -> None:
    runs = list(sweep("trainer: strict_study\nmodel: {width: [1, 2]}\nsteps: 5\nbounds: {low: 3}"))
    said = ("bounds: `low <= high` must hold, but got low=3.0, high=1.0",)
    assert [run.invalid for run in runs] == [said, said]


def test_warnings_are_kept_and_stop_nothing(sweep: Read) -> None:
    found = sweep("parameters:\n  width: [64, 128, 64]\n  width: [64, 128, 64]\n")
    assert [(warning.line, warning.message) for warning in found.warnings] == [
        (2, "`parameters.width`: value 3 repeats value 1 (line 2, column 11); it runs once"),
        (3, "`width` is given twice, on line 2 and on line 3"),
    ]
    assert all(warning.severity == "warning" for warning in found.warnings)
    assert found.axes[0].values == (64, 128)
    assert found.count() == 2


def test_labels_are_the_shortest_ending_that_is_unique(sweep: Read) -> None:
    found = sweep(
        "trainer: strict_study\nsteps: 1\n"
        "model: {width: [3, 4], seed: [1, 2]}\nbounds: {seed: [1, 2]}"
    )
    assert {axis.key: axis.label for axis in found.axes} == {
        "model.width": "width",
        "model.seed": "model.seed",
        "bounds.seed": "bounds.seed",
    }


def test_a_sweep_can_be_given_other_resources(sweep: Read) -> None:
    found = sweep("resources: {cpus_per_run: 2}\nparameters: {width: [1, 2]}")
    other = replace(found, resources=replace(found.resources, cpus_per_run=4))
    assert other.resources == Resources(cpus_per_run=4)
    assert [run.id for run in other] == [run.id for run in found]


@pytest.mark.parametrize("text", ["", "- a\n", "a: [", "a: 1\n---\n", "\t"])
def test_what_is_not_a_sweep_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(SweeperError, match=r"s\.yaml"):
        read_sweep(file)
    with pytest.raises(ConfigError, match="no such file"):
        read_sweep(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        read_sweep(tmp_path)
