"""Configuration files that others wrote: what is read, and that whatever is not ends in one line, at once."""

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amnet_common.errors import AmnetError, ConfigError
from headtrain.settings.config_file import MOST_DOTS, read_config, to_toml
from headtrain.settings.configuration import override
from headtrain.settings.presets import AMNET

TEXT = to_toml(AMNET)


def stored(folder, content):
    (folder / "c.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / "c.toml"


def test_a_file_with_a_byte_order_mark_says_what_it_says_without(tmp_path):
    assert read_config(stored(tmp_path, b"\xef\xbb\xbf" + TEXT.encode())) == read_config(stored(tmp_path, TEXT))


def test_comments_and_line_ends_of_windows_are_taken(tmp_path):
    text = "# ..........\r\n[training] # a table\r\nlearning_rate = 1e-3\r\n"
    assert read_config(stored(tmp_path, text)) == (None, {"learning_rate": 1e-3})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a." * 50_000 + "a = 1", "expected a readable TOML file, found more than 64000 bytes"),
        ("a." * 20_000 + "a = 1", f"found a line of more than {MOST_DOTS} dots"),
        ('"#".' + "a." * 20_000 + "a = 1", f"found a line of more than {MOST_DOTS} dots"),
        ("[" + "a." * 20_000 + "a]", f"found a line of more than {MOST_DOTS} dots"),
        ("a = " + "[" * 60_000, "expected a readable TOML file, found maximum recursion depth exceeded"),
        ("a = " + "{a = " * 10_000, "expected a readable TOML file, found maximum recursion depth exceeded"),
        ("preset = 3", "preset: expected a name, found 3"),
        ("preset = ['a']", r"preset: expected a name, found \['a'\]"),
        ("head = 3", r"expected preset, \[head\] and \[training\], found 'head' = 3"),
        ("[[head]]\nsteps = 3", r"found 'head' = \[{'steps': 3}\]"),
        ("[head]\nsteps = true", r"\[head\] steps: expected an int, found True"),
        ("[head]\nsteps = 0x" + "f" * 60_000, "steps: expected an int, found a whole number that is too large"),
        ("[training]\nl2 = 0x" + "f" * 60_000, "l2: expected a float, found a whole number that is too large"),
        ("[head]\nsteps = 2020-01-01", "steps: expected an int, found datetime"),
        ("preset = 'amnet'".encode("utf-16"), "expected a readable TOML file, found 'utf-8' codec"),
    ],
)
def test_what_cannot_be_a_configuration_is_refused_in_one_line(tmp_path, content, message):
    with pytest.raises(ConfigError, match=message) as raised:
        read_config(stored(tmp_path, content))
    assert str(raised.value).startswith(f"--config {tmp_path / 'c.toml'}: ")
    assert len(str(raised.value)) < 500 + len(str(tmp_path))


@pytest.mark.parametrize(("text", "message"), [
    ("[training]\nl2 = inf", "--l2: expected a finite number, found inf"),
    ("[training]\nclip = nan", "--clip: expected a finite number, found nan"),
    ("[training]\nl2 = 1e999", "--l2: expected a finite number, found inf"),
    ("[head]\nhidden = 9223372036854775807", "--hidden: expected 65536 or less, found 9223372036854775807"),
    ("[head]\nchannels = 0", "channels: expected 1 or more, found 0"),
    ("[head]\narchitecture = '" + "x" * 50_000 + "'", "--architecture: expected one of paper, released, found x{80}$"),
])  # fmt: skip
def test_values_that_no_run_can_have_are_refused_in_one_line(tmp_path, text, message):
    _, values = read_config(stored(tmp_path, text))
    with pytest.raises(ConfigError, match=message):
        override(AMNET, **values)


@pytest.mark.parametrize("path", ["/dev/zero", "fifo", "folder", "none"])
def test_only_a_regular_file_is_read(tmp_path, path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match=r"expected a readable TOML file, found (not a regular file|Is a|No such)"):
        read_config(tmp_path / path)


EDITS = st.lists(
    st.tuples(st.integers(0, len(TEXT)), st.integers(0, 12), st.one_of(
        st.binary(max_size=6), st.sampled_from([b"[", b"{", b'"""', b".", b"inf", b"1e999", b"\n", b"=", b"[head]"]),
    )), min_size=1, max_size=6,
)  # fmt: skip


def edited(content: bytes, edits) -> bytes:
    for at, length, new in edits:
        content = content[:at] + new + content[at + length :]
    return content


@given(EDITS)
def test_a_mutated_file_is_read_or_refused_by_an_error_of_ours(tmp_path_factory, edits):
    path = stored(Path(tmp_path_factory.getbasetemp()), edited(TEXT.encode(), edits))
    try:
        preset, values = read_config(path)
        override(AMNET, **values)
    except AmnetError:
        return
    assert preset == tomllib.loads(path.read_bytes().decode("utf-8-sig")).get("preset")


@given(st.dictionaries(
    st.sampled_from(["steps", "hidden", "places", "attention", "output", "feature_dropout", "x"]),
    st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=3), st.lists(st.integers(), max_size=2)),
    max_size=4,
))  # fmt: skip
def test_settings_of_any_type_are_taken_or_refused_by_an_error_of_ours(values):
    from headtrain.settings.configuration import Config

    stored_values = AMNET.as_dict()
    try:
        Config.from_dict(stored_values | {"head": stored_values["head"] | values})
    except AmnetError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most are refused, some are not
