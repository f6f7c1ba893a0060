"""The page as a browser shows it, on contents made by hand."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from headtrain.report.page import page, write_page

HOSTILE = (
    "<script>window.hacked=1</script>.jpg",
    "</script><img src=x onerror='window.hacked=2'>.jpg",
    "a&amp;b \u2028.jpg",
)


def grey(width=120, height=80):
    """A plain picture as the page has them."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (128, 128, 128)).save(buffer, "JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def peak_map(row, column):
    """A map whose only weight is at one place of 14 x 14."""
    codes = np.zeros((14, 14), np.uint8)
    codes[row, column] = 255
    return base64.b64encode(codes.tobytes()).decode()


def card(image, predicted, human, kinds, flip=0):
    """One of the gallery; step 1 looks to the left of the view, step 2 to the right."""
    maps = [peak_map(7, 2), peak_map(7, 11), peak_map(2, 7)]
    return {"image": image, "true": human, "predicted": predicted, "split": 1, "kinds": kinds,
            "steps": [0.1, 0.2, predicted - 0.3], "maps": maps, "box": [0.0, 0.0, 1.0, 1.0, flip],
            "peaks": [16.0, 9.04, 1.0], "entropies": [0.61, 0.7, 1.0], "alike": [False, False, True]}  # fmt: skip


def split(number, rho):
    metrics = {
        "rho": rho,
        "mse": 0.01,
        "pearson": rho,
        "slope": 1.0,
        "predicted_low": 0.4,
        "predicted_high": 0.9,
        "n": 4,
    }
    return {"split": number, **metrics, "low": rho - 0.1, "high": rho + 0.1, "epoch": 2, "epochs": 3, "seconds": 60.0,
            "optimistic": False}  # fmt: skip


def one_run(name, rho):
    epochs = [{"epoch": n, "squared_error": 1 / n, "penalty": 190.0, "val_rho": rho * n / 3, "val_mse": 0.02 / n,
               "seconds": 1.0, "best": n == 3, "lowest_mse": n == 3} for n in (1, 2, 3)]  # fmt: skip
    gallery = [
        card(0, 0.9, 0.8, ["most"]),
        card(1, 0.85, 0.9, ["most"], flip=1),
        card(2, 0.4, 0.7, ["least", "worst"]),
        card(3, 0.3, 0.4, ["least"]),
    ]
    return {
        "name": name, "rho": rho, "sd": 0.02, "low": rho - 0.05, "high": rho + 0.05,
        "splits": [split(1, rho - 0.01), split(2, rho + 0.01)],
        "curves": [{"split": k, "epochs": epochs} for k in (1, 2)], "gallery": gallery,
        "points": [[0.8, 0.9, 1, 0], [0.9, 0.85, 1, 1], [0.7, 0.4, 2, 2], [0.5, 0.6, 2, 3]],
        "settings": [{"name": "lr", "value": "0.0003", "paper": "0.001", "mark": "*", "source": HOSTILE[0]}],
        "provenance": {"folder": HOSTILE[1]},
    }  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page of two runs, with hostile names and one picture that is not there."""
    size = {"width": 1200, "height": 800}
    images = [{"id": id_, "src": grey(), "missing": "", **size} for id_ in HOSTILE]
    images.append({"id": "gone.jpg", "src": None, "missing": "missing file", **size})
    contents = {
        "made": "2026-01-01 00:00", "version": "0", "data": "LaMem", "human": 0.68, "images": images, "missing": 1,
        "published": [{"system": "AMNet", "data": "LaMem", "rho": 0.677, "mse": 0.0082, "note": ""}],
        "metrics": [{"name": "rho", "column": "test rho", "digits": 3, "each": True},
                    {"name": "mse", "column": "MSE", "digits": 4, "each": True}],
        "runs": [one_run("first", 0.5), one_run(HOSTILE[0], 0.6)],
        "comparisons": [{"a": "first", "b": "second", "difference": -0.1, "low": -0.2, "high": -0.01, "p": 0.01,
                         "images": 4, "splits": 2, "real": True}],
    }  # fmt: skip
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_page(path, page(contents, HOSTILE[0]))
    return path


def names(page):
    texts = page.locator("#cards .name").all_text_contents()
    assert all(text.endswith(" split 1") for text in texts)
    return [text.removesuffix(" split 1") for text in texts]


def test_names_are_shown_as_they_are_and_run_nothing(open_page, report):
    page = open_page(report)
    assert page.locator("h1").text_content() == HOSTILE[0]
    assert page.title() == HOSTILE[0]
    page.locator("#kind").select_option("all")
    assert set(names(page)) == {*HOSTILE, "gone.jpg"}
    assert page.evaluate("window.hacked") is None


def test_the_summary_sorts_by_each_column(open_page, report):
    page = open_page(report)
    first = page.locator("#runs tbody tr:first-child td:first-child")
    header = page.locator("#runs th", has_text="test rho")
    header.locator("button").click()
    assert (header.get_attribute("aria-sort"), first.text_content()) == ("descending", HOSTILE[0])
    header.locator("button").press("Enter")  # the keyboard does it too
    assert (header.get_attribute("aria-sort"), first.text_content()) == ("ascending", "first")


def test_the_gallery_shows_kinds_sorts_and_filters(open_page, report):
    page = open_page(report)
    assert names(page) == [HOSTILE[0], HOSTILE[1]]  # most memorable first
    page.locator("#turn").click()
    assert names(page) == [HOSTILE[1], HOSTILE[0]]
    page.locator("#kind").select_option("worst")
    assert names(page) == [HOSTILE[2]]
    page.locator("#kind").select_option("all")
    page.locator("#order").select_option("human")
    page.locator("#filter").fill("SCRIPT")
    assert sorted(names(page)) == sorted(HOSTILE[:2])
    assert page.locator("#count").text_content() == "2 images"


def warmest_side(page, number):
    """Where a card's canvas is reddest: left or right."""
    canvas = page.locator("#cards canvas").nth(number)
    return canvas.evaluate("""canvas => {
        const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        let best = -1, place = 0;
        for (let i = 0; i < pixels.length; i += 4) {
            const red = pixels[i] - pixels[i + 2];
            if (red > best) [best, place] = [red, i / 4];
        }
        return place % canvas.width < canvas.width / 2 ? "left" : "right";
    }""")


def test_the_slider_goes_through_the_steps_and_flipped_views_map_back(open_page, report):
    page = open_page(report)
    slider = page.locator("#step")
    assert page.locator("#step-said").text_content() == "step 1"
    page.locator("#cards canvas[data-step='1']").nth(1).wait_for()
    assert [warmest_side(page, n) for n in (0, 1)] == ["left", "right"]  # the second view was flipped
    slider.press("ArrowRight")
    page.locator("#cards canvas[data-step='2']").nth(1).wait_for()
    assert [warmest_side(page, n) for n in (0, 1)] == ["right", "left"]
    assert page.locator("#cards .now").all_text_contents() == ["+0.200", "+0.200"]
    slider.press("Home")
    assert page.locator("#step-said").text_content() == "picture alone"


def test_each_card_says_how_far_from_chance_its_attention_is(open_page, report):
    page = open_page(report)
    said = page.locator("#cards .attention").first
    assert said.text_content() == "step 1: peak 16.0 times chance, entropy 0.610"
    page.locator("#step").press("End")
    assert said.text_content() == "step 3: peak 1.0 times chance, entropy 1.000, looks everywhere alike"
    page.locator("#step").press("Home")
    assert said.text_content() == "step 1: peak 16.0 times chance, entropy 0.610"  # the farthest of the three


def test_both_axes_of_the_scatter_plot_have_one_scale(open_page, report):
    page = open_page(report)
    path = page.locator("#scatter path.diagonal").get_attribute("d")
    x0, y0, x1, y1 = (float(number) for number in re.findall(r"[0-9.]+", path))
    assert x1 - x0 == pytest.approx(y0 - y1)
    ticks = page.locator("#scatter text.tick").all_text_contents()
    half = len(ticks) // 2
    assert ticks[:half] == ticks[half:]


def test_points_show_their_image_by_mouse_and_by_keyboard(open_page, report):
    page = open_page(report)
    page.locator("circle.point").nth(3).hover()  # in the order of human scores
    assert HOSTILE[1] in page.locator("#detail").text_content()
    page.locator("#scatter svg").focus()
    page.keyboard.press("ArrowLeft")
    assert HOSTILE[0] in page.locator("#detail").text_content()
    assert page.locator("#detail img").count() == 1
    page.keyboard.press("PageUp")
    assert "no picture: missing file" in page.locator("#detail").text_content()


def test_another_run_is_shown_by_choice(open_page, report):
    page = open_page(report)
    page.locator("#which").select_option("1")
    assert page.locator("#configuration dd").first.text_content() == HOSTILE[1]
    assert page.locator("#comparisons li").text_content() == (
        "first - second: rho -0.100, 95 % -0.200 to -0.010: a real difference"
    )


def test_pictures_that_are_not_there_are_counted_and_named(open_page, report):
    text = open_page(report).locator("#missing").text_content()
    assert text.startswith("1 of 4 pictures are not shown, such as gone.jpg: missing file.")


def test_attention_is_shown_where_the_picture_is_not_there(open_page, report):
    page = open_page(report)
    page.locator("#kind").select_option("least")
    assert names(page) == ["gone.jpg", HOSTILE[2]]
    assert page.locator("#cards .nothing").text_content() == "no picture: missing file"
    assert warmest_side(page, 0) == "left"


def test_dark_mode_follows_the_system(open_page, report):
    light, dark = (open_page(report, color_scheme=scheme) for scheme in ("light", "dark"))
    colours = [page.evaluate("getComputedStyle(document.body).backgroundColor") for page in (light, dark)]
    assert colours == ["rgb(255, 255, 255)", "rgb(22, 24, 28)"]


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_wider_than_the_screen(open_page, report, width):
    page = open_page(report, viewport={"width": width, "height": 700})
    for details in page.locator("details").all():
        details.evaluate("node => { node.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_everything_can_be_reached_with_the_tab_key(open_page, report):
    page = open_page(report)
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"which", "kind", "order", "turn", "filter", "step", "svg", "BUTTON", "SUMMARY"} <= reached


def test_a_script_from_elsewhere_would_not_run(open_page, report):
    """The page's own policy: tried within the page, where the complaint about it is the proof."""
    page = open_page(report)
    assert page.evaluate("""new Promise(done => {
        document.addEventListener("securitypolicyviolation", event => done(event.violatedDirective));
        const script = document.createElement("script");
        script.textContent = "window.hacked = 3";
        document.body.append(script);
    })""").startswith("script-src")  # fmt: skip
    assert page.evaluate("window.hacked") is None
    page.wait_for_timeout(50)
    open_page.complaints.clear()  # the browser's own line about it
