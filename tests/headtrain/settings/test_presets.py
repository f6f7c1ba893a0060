"""The presets, their sources, and configurations as files."""

import tomllib

import pytest

from amnet_common.errors import ConfigError
from headtrain.settings.config_file import read_config, to_toml
from headtrain.settings.configuration import SETTINGS, Config, override
from headtrain.settings.described import OWN, described_settings
from headtrain.settings.presets import AMNET, PAPER, PRESETS, for_dataset


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_a_reason_for_each_value_that_is_not_the_papers_and_for_no_other(name):
    values, paper = PRESETS[name].config.values(), Config().values()  # what is declared with the fields
    given = set(PRESETS[name].departures)
    assert {key for key in values if values[key] != paper[key]} <= given
    assert {key for key in values if values[key] != PAPER.values()[key]} <= given


def test_a_run_of_before_says_the_preset_that_it_had():
    old = AMNET.as_dict() | {"version": 1}
    for name in ("version", "least_updates"):
        old.pop(name, None)
        old["training"] = {key: value for key, value in old["training"].items() if key != name}
    old["training"]["patience"] = 6
    config = Config.from_dict(old)
    assert config.version == 1
    assert config.training.least_updates == 0  # an epoch was one pass
    assert not [one for one in described_settings(config) if one.mark == OWN]
    assert AMNET.version == 2


@pytest.mark.parametrize(("name", "epochs"), [("released", 49), ("amnet", 30)])
def test_released_trains_on_sun_as_long_as_the_authors_code(name, epochs):
    assert for_dataset(PRESETS[name].config, "sun").training.epochs == epochs
    assert for_dataset(override(PRESETS[name].config, epochs=7), "sun").training.epochs == 7


def test_every_setting_has_a_source_and_a_meaning():
    assert set(SETTINGS) == set(PAPER.values())
    assert all(setting.source and setting.about for setting in SETTINGS.values())


def test_the_paper_has_the_values_of_section_4():
    training = PAPER.training
    assert (training.learning_rate, training.l2, training.batch_size, training.penalty) == (1e-3, 1e-6, 256, 1e-4)
    assert (PAPER.head.steps, PAPER.head.hidden, PAPER.head.output) == (3, 1024, "sum")


def test_the_released_code_has_the_values_of_its_config():
    training = PRESETS["released"].config.training
    assert (training.learning_rate, training.l2, training.batch_size, training.penalty) == (1e-4, 1e-6, 222, 1e-5)
    assert (training.target_mean, training.target_scale) == (0.754, 2.0)


@pytest.mark.parametrize(("dataset", "l2"), [("sun", 1e-4), ("lamem", 1e-6)])
def test_l2_is_larger_on_sun(dataset, l2):
    assert for_dataset(PRESETS["released"].config, dataset).training.l2 == l2


def test_an_l2_of_ones_own_is_kept_on_sun():
    assert for_dataset(override(PAPER, l2=0.5), "sun").training.l2 == 0.5


@pytest.mark.parametrize("name", PRESETS)
def test_a_configuration_survives_its_file(tmp_path, name):
    config = override(PRESETS[name].config, steps=5, learning_rate=2.5e-5, select_on="test")
    (tmp_path / "c.toml").write_text(to_toml(config))
    preset, values = read_config(tmp_path / "c.toml")
    assert preset == name
    assert override(PRESETS[name].config, **values) == config
    assert tomllib.loads(to_toml(config))["head"]["steps"] == 5


def test_a_file_may_give_whole_numbers_where_fractions_are_meant(tmp_path):
    (tmp_path / "c.toml").write_text("[training]\nl2 = 1\n")
    assert read_config(tmp_path / "c.toml") == (None, {"l2": 1.0})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[head]\nstep = 3", r"\[head\] step: expected one of architecture, locations"),
        ("[head]\nsteps = 3.5", r"\[head\] steps: expected an int, found 3.5"),
        ("[head]\nattention = 1", r"\[head\] attention: expected a bool, found 1"),
        ("[training]\nsteps = 3", r"\[training\] steps: expected one of learning_rate"),
        ("steps = 3", r"expected preset, \[head\] and \[training\], found 'steps'"),
        ("[head", "expected a readable TOML file"),
    ],
)
def test_what_a_file_gets_wrong_is_named(tmp_path, text, message):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / "c.toml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"output": "median"}, "--output: expected one of sum, mean, last, found median"),
        ({"steps": 7}, "--steps: expected 0 to 6, found 7"),
        ({"hidden": 0}, "--hidden: expected 1 or more, found 0"),
        ({"architecture": "released", "steps": 0, "hidden": 8}, "--steps 0: expected --hidden 1024"),
        ({"eval_view": -1}, "--eval-view: expected 0 or more, found -1"),
        ({"target_scale": 0.0}, "--target-scale: expected more than 0, found 0.0"),
    ],
)
def test_values_that_make_no_head_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        override(PAPER, **values)


def test_a_configuration_of_an_older_version_gets_the_papers_value_for_new_settings():
    old = PAPER.as_dict()
    del old["head"]["output"], old["training"]["views"]
    assert Config.from_dict(old) == PAPER


def test_files_keep_the_name_that_locations_had_when_their_format_was_made(tmp_path):
    stored = AMNET.as_dict()
    assert stored["head"]["places"] == 196
    assert "locations" not in stored["head"]
    assert Config.from_dict(stored) == AMNET
    (tmp_path / "c.toml").write_text(to_toml(AMNET))
    assert read_config(tmp_path / "c.toml")[1]["locations"] == 196
