"""The documentation: its code runs, its API page is complete, it builds without a warning, its figures can be made."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import photonstats as ps

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SPHINX = ("sphinx", "furo", "myst_parser", "numpydoc", "latex2mathml")


def loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


make_figures = loaded(DOCS / "make_figures.py")
make_pages = loaded(DOCS / "make_pages.py")
PAGES = make_figures.pages()


def test_every_public_name_is_on_the_api_page():
    parts = (DOCS / "api.rst").read_text().split(".. currentmodule:: ")[1:]
    named = {p.split()[0]: set(re.findall(r"^   (\w+)$", p, re.MULTILINE)) for p in parts}
    assert named["photonstats"] == set(ps.__all__) - {"simulate"}
    assert named["photonstats.simulate"] == set(ps.simulate.__all__) - {"RECIPES"}


def test_blocks_are_found_with_and_without_names(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```{code-block} python\n:name: a-name\n\nprint(1)\n```\n\n```sh\nls\n```\n\n```python\nx = 2\n```\n"
    )
    assert [(b.name, b.code) for b in make_figures.blocks(page)] == [("a-name", "print(1)\n"), ("", "x = 2\n")]


def test_a_page_leaves_what_it_prints_and_draws(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```{code-block} python\n:name: drawn\n\nimport photonstats as ps\n\n"
        "trace = ps.IntensityTrace([3, 4, 5], 0.1)\ntrace.plot()\nprint(trace.counts.sum())\n```\n"
    )
    made = tmp_path / "made"
    make_figures.run(page, made)
    assert (made / "drawn.txt").read_text() == "12\n"
    assert (made / "drawn.png").read_bytes().startswith(b"\x89PNG")


def test_what_the_pages_include_is_made_by_a_block_of_the_same_page():
    for page in PAGES:
        text = page.read_text()
        included = set(re.findall(r"made/([\w-]+)\.(?:txt|png)$", text, re.MULTILINE))
        assert included <= {b.name for b in make_figures.blocks(page)}, page.name
        inclusions = re.findall(r"^```\{(?:literalinclude|image)\} (?:\.\./)?made/", text, re.MULTILINE)
        assert text.count("made/") == len(inclusions)


def test_every_command_and_every_key_has_its_place():
    page = make_pages.command_line()
    for command in ("info", "analyze", "g2", "decay", "levels", "flid", "psd", "simulate"):
        assert f"\n## {command}\n" in page
    assert "--bin-width" in page
    keys = make_pages.results()
    for key in ("`g2.g2_zero`", "`emitters.probability`", "`decay.lifetimes_s`", "`g2.gates[].gate_s`", "`notes`"):
        assert key in keys


def test_links_between_pages_lead_somewhere():
    made = {"command_line.md", "results.md"}
    for page in DOCS.rglob("*.md"):
        if {"_build", "generated"} & set(page.relative_to(DOCS).parts):
            continue
        for target in re.findall(r"\]\(([\w./]+\.md)", page.read_text()):
            assert target.rsplit("/", 1)[-1] in made or (page.parent / target).is_file(), f"{page.name}: {target}"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_code_of_a_page_runs(page, tmp_path):
    make_figures.run(page, tmp_path)
    named = {b.name for b in make_figures.blocks(page) if b.name}
    assert {p.stem for p in tmp_path.iterdir()} == named


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path):
    missing = [name for name in SPHINX if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed; pip install -e '.[docs]'")
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("_build", "generated", "made"))
    (tmp_path / "data_samples").symlink_to(ROOT / "data_samples")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", "html"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "html" / "theory" / "lifetimes.html").read_text()
    assert "<math" in page
    html = [p.read_text() for p in (tmp_path / "html").rglob("*.html")]
    assert not any(re.search(r'(?:src|rel="stylesheet" href)="https?://', text) for text in html)


@pytest.mark.slow
def test_the_quick_validation_reaches_its_goals(tmp_path):
    out = tmp_path / "validation.md"
    command = [sys.executable, "studies/validation.py", "--quick", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=600)
    rows = re.findall(r"^\| .* (yes|\*\*no\*\*|–) \|$", out.read_text(), re.MULTILINE)
    assert len(rows) > 40
    assert "**no**" not in rows


def test_the_validation_page_has_a_row_for_each_case(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "studies"))
    cases = loaded(ROOT / "studies" / "validation_cases.py").CASES
    text = (DOCS / "validation.md").read_text()
    for case in cases:
        assert f"## {case.group}\n" in text
        assert f"| {case.setting} |" in text
    assert len({(c.group, c.setting) for c in cases}) == len(cases)


def test_a_set_of_a_study_is_the_same_each_time(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "studies"))
    cases = loaded(ROOT / "studies" / "validation_cases.py")
    index = next(i for i, c in enumerate(cases.CASES) if c.group.startswith("Lifetimes of segments"))
    assert cases.draw(index, 0, 30, 5) == cases.draw(index, 0, 30, 5)
    assert cases.draw(index, 0, 300, 5) != cases.draw(index, 1, 300, 5)
