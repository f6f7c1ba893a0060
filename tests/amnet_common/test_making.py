"""What a file says of its making."""

import json
import sys
from datetime import UTC, datetime

import torch

from amnet_common.making import made_here, made_line


def test_a_moment_has_its_date_command_and_versions(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/amnet-head", "train", "--features", "my photos.h5"])
    made = made_here()
    assert made["command"] == "amnet-head train --features 'my photos.h5'"
    assert abs((datetime.now(UTC) - datetime.fromisoformat(made["date"])).total_seconds()) < 60
    assert made["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert json.loads(json.dumps(made)) == made


def test_names_that_are_no_utf_8_and_long_lines_are_kept_in_bounds(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["amnet-extract", "--root", "caf\udce9", "x" * 9000])
    made = made_here()
    made["command"].encode()
    assert "caf\\udce9" in made["command"]
    assert len(made["command"]) == 2000


def test_what_older_versions_left_out_is_left_out():
    assert made_line(None) == ""
    assert made_line({"date": "2026-11-26", "command": "amnet-extract"}) == "2026-11-26 by amnet-extract ()"
