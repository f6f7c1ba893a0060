"""The page of `amnet-head app`: what it says, whom it lets in, and how it is used in a browser."""

import http.client
import json
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from amnet_common.collection import Collection
from extract.cli import main as extract
from headtrain.app.looking import Looking, Photo, Reference, reference_of
from headtrain.app.server import MOST_BYTES, TOKEN, Server
from headtrain.cli import main as amnet_head
from headtrain.heads.checkpoint import load_head
from headtrain.scoring.ensemble import load_ensemble

KERNEL = "moments-kernel/split-1"


def invoke(command, *words):
    result = CliRunner().invoke(command, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with 12 photographs, their features, a run, and baselines, of which one is a kernel."""
    folder = tmp_path_factory.mktemp("trained")
    for name in ("images", "splits"):
        (folder / name).mkdir()
    for i in range(12):
        noise = np.random.default_rng(i).integers(0, 256, (6, 9, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((360 + 10 * i, 240)).save(folder / "images" / f"{i}.png")
    for part, numbers in (("train", range(6)), ("val", range(6, 9)), ("test", range(9, 12))):
        (folder / "splits" / f"{part}_1.txt").write_text("".join(f"{i}.png {i / 10}\n" for i in numbers))
    made = ("--augs", 1, "--weights", "untrained", "--precision", "float32", "--out", folder / "f.h5")
    invoke(extract, "--dataset", "lamem", "--root", folder, *made)
    small = ("--epochs", 1, "--hidden", 8, "--device", "cpu", "--out", folder / "run")
    invoke(amnet_head, "train", "--features", folder / "f.h5", *small)
    invoke(amnet_head, "baseline", "--features", folder / "f.h5", "--out", folder / "b")
    return folder


@pytest.fixture
def serve(trained, tmp_path):
    """serve() -> a server of the run and the kernel, whose requests are answered."""
    servers = []

    def start():
        heads = load_ensemble([trained / "run"]) | load_ensemble([trained / "b" / KERNEL])
        server = Server(Looking(heads, tmp_path, "untrained", "cpu"), tmp_path)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(server, method, path, body=b"", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=120)
    connection.request(method, path, body, {TOKEN: server.token} | headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_percentile_is_the_share_of_lower_scores_and_ties_count_half():
    scores = np.sort(np.random.default_rng(0).integers(0, 9, 40) / 10)
    for score in (-1, 0.0, 0.35, 0.4, 0.8, 2):
        wanted = 100 * ((scores < score).mean() + (scores == score).mean() / 2)
        assert Reference(scores, "training images").percentile(score) == pytest.approx(wanted)
    assert Reference(np.empty(0), "").percentile(0.5) is None


def test_scores_stand_among_those_of_the_training_images_or_of_the_test(trained, tmp_path):
    scores, of = reference_of(trained / "run" / "best.safetensors")
    assert (scores.tolist(), of) == ([i / 10 for i in range(6)], "training images")
    shutil.copytree(trained / "run", tmp_path / "moved")
    about = json.loads((tmp_path / "moved" / "run.json").read_text()) | {"features": str(tmp_path / "gone.h5")}
    (tmp_path / "moved" / "run.json").write_text(json.dumps(about))
    assert reference_of(tmp_path / "moved").of == "test images"
    assert reference_of(tmp_path / "nowhere").of == ""


def test_what_is_seen_is_what_the_head_says_of_the_same_pixels(trained, serve, tmp_path):
    server = serve()
    photos = {"3.png": (trained / "images/3.png").read_bytes(), "no.jpg": b"nothing"}
    numbers = [json.loads(ask(server, "PUT", f"/photo?name={name}", data)[1]) for name, data in photos.items()]
    drop = json.loads(ask(server, "POST", "/drop", json.dumps(numbers))[1])
    looked = {name: json.loads(ask(server, "POST", "/look", json.dumps({"head": name, "drop": drop}))[1])
              for name in server.looking.heads}  # fmt: skip
    run, kernel = looked[str(trained / "run")], looked[str(trained / "b" / KERNEL)]
    collection = Collection(trained / "f.h5")
    row = collection.ids.index("3.png")
    wanted = load_head(trained / "run").predict(collection.read([row]))
    found, weights = run[0], wanted.attention[0].numpy()
    assert found["score"] == pytest.approx(wanted.score.item(), abs=2e-3)
    assert found["steps"] == pytest.approx(wanted.steps[0].tolist(), abs=2e-3)
    assert np.array(found["maps"]) == pytest.approx(196 * weights, abs=0.02)
    assert found["entropy"] == pytest.approx(-(weights * np.log(weights)).sum(1).mean() / np.log(196), abs=1e-3)
    top, left, height, width, _ = collection.boxes[row, 0]
    assert found["box"] == pytest.approx([top / 240, left / 390, height / 240, width / 390])
    assert found["picture"].startswith("data:image/jpeg;base64,")
    assert (run[1]["name"], run[1]["picture"], "score" in run[1]) == ("no.jpg", None, False)
    assert "maps" not in kernel[0]
    assert kernel[0]["of"] == "training images"
    assert len(list(tmp_path.glob("drop-1/*/photos.h5"))) == 2  # one view for the run, two for the kernel


def test_other_hosts_other_pages_and_other_requests_are_kept_out(serve):
    server = serve()
    assert server.server_address[0] == "127.0.0.1"
    status, page = ask(server, "GET", "/")
    assert (status, server.token.encode() in page) == (200, True)
    assert ask(server, "GET", "/", Host="evil.example")[0] == 403  # a name that was made to point here
    for method, path in (("PUT", "/photo"), ("POST", "/drop"), ("POST", "/look")):
        assert ask(server, method, path, b"[]", **{TOKEN: "guessed"})[0] == 403
    assert ask(server, "GET", "/../../etc/passwd")[0] == 404
    assert ask(server, "PUT", "/photo", **{"Content-Length": str(MOST_BYTES + 1)})[0] == 413
    for path, body in (("/drop", b"[]"), ("/drop", b"[1]"), ("/drop", b"{"), ("/look", b"[]"), ("/look", b"{}")):
        assert ask(server, "POST", path, body)[0] == 400
    status, text = ask(server, "POST", "/look", json.dumps({"head": "x", "drop": 1}))
    assert (status, json.loads(text)["error"][:5]) == (422, "look:")


def test_only_the_newest_drops_are_kept(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("headtrain.app.looking.MOST_KEPT", 2)
    looking = Looking({}, tmp_path, None, "cpu")
    for i in range(3):
        shutil.copy(trained / "images/3.png", tmp_path / f"{i}.png")
        looking.drop([Photo(f"{i}.png", tmp_path / f"{i}.png")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.png", "2.png", "drop-2", "drop-3"]


def test_weights_of_another_trunk_are_refused_before_the_page_is_there(trained, tmp_path):
    from safetensors.torch import save_file

    from extract.weights import load_weights

    save_file(dict(load_weights("untrained", 1).state), tmp_path / "w.safetensors")
    words = ["app", "--head", str(trained / "run"), "--weights", str(tmp_path / "w.safetensors"), "--no-browser"]
    result = CliRunner().invoke(amnet_head, words)
    assert result.exit_code == 2
    assert "was trained on features of another trunk" in result.stderr


@pytest.fixture
def page(browser, serve):
    """page(**context) -> the page; its errors and requests of other places end the test."""
    opened, complaints, server = [], [], serve()

    def open_it(**context):
        page = browser.new_page(**context)
        opened.append(page)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda one: one.url.startswith((server.url, "data:")) or complaints.append(one.url))
        page.goto(server.url)
        return page

    yield open_it
    for one in opened:
        one.close()
    assert complaints == []


CONTEXTS = {
    "desktop light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "phone dark": {"viewport": {"width": 375, "height": 700}, "color_scheme": "dark", "device_scale_factor": 2},
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_photographs_are_looked_at_with_one_head_and_another(page, trained, tmp_path, name):
    (tmp_path / "no.jpg").write_bytes(b"nothing")
    view = page(**CONTEXTS[name])
    view.set_input_files("#photos", [trained / "images/3.png", trained / "images/4.png", tmp_path / "no.jpg"])
    view.wait_for_selector(".score")
    cards = view.locator("#cards > li")
    assert cards.count() == 3
    assert cards.nth(2).inner_text().startswith("cannot be shown")
    assert "not scored: " in cards.nth(2).inner_text()
    assert "% of the training images" in cards.nth(0).inner_text()
    buttons = cards.nth(0).get_by_role("button")
    assert [text.split(":")[0] for text in buttons.all_inner_texts()] == ["photograph", "step 1", "step 2", "step 3"]
    pixels = "canvas => canvas.toDataURL()"
    canvas = cards.nth(0).locator("canvas")
    view.wait_for_function("() => document.querySelector('canvas').width === 390")
    steps = canvas.evaluate(pixels)
    buttons.nth(0).press("Enter")
    view.wait_for_timeout(200)
    assert canvas.evaluate(pixels) != steps
    assert buttons.nth(0).get_attribute("aria-pressed") == "true"
    assert re.search(r"it looks everywhere alike; entropy of the attention (1\.000|0\.99\d)", cards.nth(0).inner_text())
    assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")
    view.screenshot(path=Path(tmp_path) / "page.png", full_page=True)
    view.select_option("#head", str(trained / "b" / KERNEL))
    view.wait_for_function("() => !document.querySelector('.picks') && document.querySelector('.score')")
