"""The notebook runs, from images in memory to attention maps.

Its cells are run here in their order, in one namespace, as a kernel would: plain Python needs neither a kernel, whose
process and ports fail for reasons of their own, nor the packages that start one. Magics of a kernel are refused.
"""

import ast
import json
from pathlib import Path

import numpy as np
import pytest

import amnet

NOTEBOOK = Path(__file__).parents[2] / "examples" / "images_to_scores.ipynb"


@pytest.fixture
def cells():
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in found["cells"]}) == len(found["cells"])
    return [cell for cell in found["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_kept_without_outputs(cells):
    assert cells
    assert [cell["id"] for cell in cells if cell["outputs"] or cell["execution_count"]] == []


def test_the_notebook_runs_from_images_to_maps(cells, trained, monkeypatch, capsys):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    drawn = []
    monkeypatch.setattr(pyplot, "show", lambda: drawn.append(pyplot.gcf()))
    names = {"__name__": "__main__"}
    assert cells[0]["metadata"]["tags"] == ["parameters"]
    for cell in cells:
        exec(compile(ast.parse("".join(cell["source"])), cell["id"], "exec"), names)
        if cell is cells[0]:
            names |= {"HEAD": trained / "run", "WEIGHTS": "untrained"}
    head = amnet.load_head(trained / "run")
    wanted = head.predict(amnet.extract_features(names["images"], weights="untrained")[:, 0])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" = ")[0] for line in lines] == [f"image {n}: {y:.3f}" for n, y in enumerate(wanted.score)]
    (figure,) = drawn
    maps = [axes.images[1].get_array() for axes in figure.axes[:-1]]
    np.testing.assert_allclose(np.stack(maps).reshape(3, 3, 196), wanted.attention * 196, rtol=1e-6)
    figure.canvas.draw()
    pyplot.close(figure)
