"""The report's page: what it shows, that it needs no network, and how a browser lays it out."""
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import networks
from cores import build
from cores.design import open_design, read_arrays, read_report
from cores.page.__main__ import main
from cores.page.rails import Link, rails
from cores.page.write import render, write

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
         "--disable-component-update"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "out"
    assert build.main(["--out", str(folder), "--dsp", "30"]) == 0
    return folder


@pytest.fixture
def opened(built):
    return open_design(built).network, read_report(built), read_arrays(built / "golden.npz")


# ---- Rails ------------------------------------------------------------------------------------

def test_rails_of_a_chain():
    graph, _ = networks.chain({"op": "conv", "filters": 4}, {"op": "fc", "filters": 2}, shape=(5, 5, 3))
    tracks, links = rails(graph)
    assert tracks == [0, 0, 0, 0]
    assert links == [Link(0, 1, 0, "in"), Link(1, 2, 0, "t0"), Link(2, 3, 0, "t1")]


def test_a_skip_runs_beside_its_branch():
    same = {"op": "conv", "filters": 4, "padding": (1, 1, 1, 1)}
    graph, _ = networks.chain(same, same, same, {"op": "add", "other": "t0"}, shape=(5, 5, 3))
    tracks, links = rails(graph)
    assert tracks == [0] * 6
    assert [link for link in links if link.tensor == "t0"] == [Link(1, 2, 0, "t0"), Link(1, 4, 1, "t0")]


@pytest.mark.parametrize("seed", range(20))
def test_no_two_streams_share_a_place(seed):
    """Random branches: every stream is there once, and tracks are never taken twice in a row."""
    rng, layers = np.random.default_rng(seed), [{"op": "conv", "filters": 4, "padding": (1, 1, 1, 1)}]
    for number in range(1, 9):
        one, other = (f"t{n}" for n in rng.integers(number, size=2))
        layers.append({"op": "add", "source": one, "other": other} if rng.random() < 0.5 else
                      {**layers[0], "source": one})
    graph, _ = networks.chain(*layers, shape=(4, 4, 2))
    tracks, links = rails(graph)
    assert len(links) == sum(len(node.inputs) for node in graph.nodes) + len(graph.outputs)
    for row in range(len(tracks)):
        passing = [link.track for link in links if link.start < row < link.end]
        assert len(set(passing)) == len(passing)
        assert tracks[row] not in passing


# ---- The page ---------------------------------------------------------------------------------

def test_says_which_multipliers_are_serial(opened):
    network, report, golden = opened
    serial = sum(stage["serial"] for stage in report["stages"])
    assert 0 < serial < len(report["stages"])
    assert render(network, report, golden).count("serial, in LUTs") == serial


def test_needs_nothing_but_itself(built):
    page = (built / "report.html").read_text()
    assert not re.search(r"https?://|<script|<link|@import|url\(", page)
    assert set(re.findall(r'src="([^:"]+):', page)) == {"data"}


def test_every_stage_and_figure_is_there(built, opened):
    page, (network, report, golden) = (built / "report.html").read_text(), opened
    for stage in report["stages"]:
        assert stage["name"] in page and f"{stage['cycles_per_frame']:,}" in page
    assert page.count("bottleneck</td>") == 1
    assert f"{report['cycles_per_frame']:,}<sup title=\"modelled\">m</sup>" in page
    assert f"{report['predicted']['lut']:,}<sup title=\"predicted\">p</sup>" in page
    assert "Not simulated yet" in page
    assert page.count("<figure>") == 20 and 'class 7<sup title="reference">r</sup>' in page and "wrong" not in page.split("</style>")[1]
    assert render(network, report, golden) == page


def test_every_figure_has_a_letter(opened):
    """Also those in the notes of the tiles and below the pictures; what was asked for has none."""
    network, report, golden = opened
    page = render(network, report, golden)
    assert 'multipliers<sup title="predicted">p</sup></small>' in page
    assert 'are not zero<sup title="modelled">m</sup></small>' in page
    assert f'the first takes {report["cycles_first_frame"]:,}<sup title="modelled">m</sup></small>' in page
    unknown = render(network, {**report, "cycles_first_frame": None}, golden)
    assert "the first takes" not in unknown and "the slowest stage&#39;s</small>" in unknown
    captions = re.findall("<figcaption.*?</figcaption>", page)
    assert len(captions) == 20 and all('<sup title="reference">r</sup>' in text for text in captions)
    page = render(network, {**report, "dsp": 31, "lut": 4321, "origin": {
        **report["origin"], "dsp": "synthesised", "lut": "routed"}}, golden)
    assert '31<sup title="synthesised">y</sup>' in page and 'multipliers<sup title="synthesised">y</sup></small>' in page
    assert '4,321<sup title="routed">n</sup>' in page


def test_names_are_escaped(opened):
    network, report, golden = opened
    stages = [{**stage, "name": f"<b>{stage['name']}"} for stage in report["stages"]]
    page = render(network, {**report, "stages": stages}, golden)
    assert "<b>conv1" not in page and "&lt;b&gt;conv1" in page


def test_simulated_synthesised_and_waits(opened):
    network, report, golden = opened
    stages = [{**stage, "waits": {"starved": 0.25, "blocked": 0.125}} for stage in report["stages"]]
    page = render(network, {**report, "lut": 4321, "stages": stages, "simulated": {
        "cycles_per_frame": 54321.5, "cycles_first_frame": 70123, "mac_per_dsp_cycle": 2.5, "utilisation": 0.75, "mismatches": 3,
        "frames": 8, "stalls": 0.2, "accuracy": 0.875}}, golden)
    assert "4,321<sup title=\"synthesised\">y</sup>" in page
    assert "54,322<sup title=\"simulated\">s</sup>" in page and '<b class="bad">3<sup' in page
    assert "87.5%" in page and "Not simulated yet" not in page
    assert page.count('title="starved: 25.00%"') == page.count('title="blocked: 12.50%"') == len(stages)


def test_wrong_answers_are_marked(opened):
    network, report, golden = opened
    labels = golden["labels"].copy()
    labels[0] = 9 if golden["outputs"][0].argmax() != 9 else 8
    page = render(network, report, {**golden, "labels": labels})
    assert page.count('class="wrong"') == 1 and f"not {labels[0]}" in page


def test_command(built, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(built, folder)
    (folder / "report.html").unlink()
    assert main([str(folder)]) == 2                     # a file of the build is missing
    assert "report.html is missing" in capsys.readouterr().err
    shutil.copy(built / "report.html", folder)
    report = json.loads((folder / "report.json").read_text())
    (folder / "report.json").write_text(json.dumps({**report, "lut": 4321}))
    assert main([str(folder)]) == 0
    assert "4,321" in (folder / "report.html").read_text()
    for name, damage in (("report.json", "{}"), ("golden.npz", "no arrays")):
        right = (folder / name).read_bytes()
        (folder / name).write_text(damage)
        capsys.readouterr()
        assert main([str(folder)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and "make it anew" in error
        (folder / name).write_bytes(right)
    assert main([str(tmp_path)]) == 2


# ---- In a browser -----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def browser():
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.mark.parametrize("width", [1400, 420])
def test_layout(built, browser, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(Path(built, "report.html").as_uri())
    assert errors == [] and all(url.startswith(("file:", "data:")) for url in asked)
    assert page.evaluate("document.documentElement.scrollWidth") <= width      # wide tables scroll by themselves
    report = read_report(built)
    assert page.locator("tbody tr").count() == len(report["stages"]) + 2
    longest = max(report["stages"], key=lambda stage: stage["cycles_per_frame"])
    slowest = page.locator("tr.bottleneck")
    assert slowest.locator("td").nth(1).get_attribute("title") == longest["name"]
    bar, parts = slowest.locator(".bar"), slowest.locator(".bar i")
    taken = sum(part.bounding_box()["width"] for part in parts.all())
    assert taken == pytest.approx(bar.bounding_box()["width"], abs=1)           # it fills the frame
    rows = page.locator("tbody tr").all()
    for row in rows:            # stations stand in their rows: the rails join without gaps
        rail, whole = row.locator("svg").bounding_box(), row.bounding_box()
        assert rail["height"] == pytest.approx(44) and rail["y"] == pytest.approx(whole["y"], abs=1)
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    ground, text = page.evaluate("""[getComputedStyle(document.body).backgroundColor,
                                     getComputedStyle(document.body).color]""")
    assert max(map(int, re.findall(r"\d+", ground)[:3])) < 40 < 200 < min(map(int, re.findall(r"\d+", text)[:3]))
    page.close()


def test_written_page_is_what_is_rendered(built, tmp_path, opened):
    folder = tmp_path / "copy"
    shutil.copytree(built, folder)
    assert write(folder, opened[1]).read_text() == (built / "report.html").read_text()
