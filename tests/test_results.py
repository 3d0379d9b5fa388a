"""Tables take nothing from a run's folder that was changed, and train and evaluate in none that somebody else has."""

import json

import pytest

from i2pemd_lite import BadInput, __main__
from i2pemd_lite.files import is_whole, run_lock
from i2pemd_lite.tables import report


@pytest.fixture
def run(task, tmp_path):
    """A finished run of one step."""
    return task.train(task.method, task.folder, profile="ci", folder=tmp_path / "run", steps=1).finish(False)


def test_a_report_that_was_changed_is_evaluated_again(task, run):
    def tables():
        return str(task.module.from_runs([run.folder], task.folder))

    def said():  # whole, and as before but for the time that it took
        content = json.loads(path.read_text())
        assert is_whole(content)
        about = {name: value for name, value in content["about"].items() if name != "seconds a scan"}
        return content | {"about": about, "hash": ""}

    whole, path = tables(), run.folder / "report.json"
    told, content = said(), json.loads(path.read_text())
    row = content["rows"][0]
    name = next(name for name, value in row.items() if isinstance(value, float))
    for changed in (row[name] + 1, "NaN", None):
        path.write_text(json.dumps(content | {"rows": [row | {name: changed}, *content["rows"][1:]]}))
        assert tables() == whole and said() == told
    for text in ("[" * 100_000, "[]", '{"about": 1}', json.dumps({"about": content["about"], "rows": [1]})):
        path.write_text(text)
        assert tables() == whole and said() == told
    if (scores := run.folder / "scores.csv").exists():
        before = scores.read_text()
        scores.write_text(before[:-5] + str((int(before[-5]) + 1) % 10) + before[-4:])
        assert tables() == whole and scores.read_text() == before


def test_a_run_that_somebody_trains_is_neither_trained_nor_evaluated(task, run, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in run.folder.glob("*.*s*")}
    with run_lock(run.folder):
        assert __main__.main(["evaluate", str(run.folder), "--data", str(task.folder)]) == 1
        assert "run: expected a run that nobody trains, found one" in capsys.readouterr().err
        with pytest.raises(BadInput, match="expected a run that nobody trains"):
            task.module.from_runs([run.folder], task.folder)  # it was never evaluated
    place = tmp_path / f"{task.method}-ci-seed0"
    with run_lock(place), pytest.raises(BadInput, match="expected a run that nobody trains"):
        task.module.tables(task.folder, profile="ci", methods=[task.method], steps=1, folder=tmp_path, progress=False)
    assert before == {path.name: path.read_bytes() for path in run.folder.glob("*.*s*")}
    assert [path.name for path in place.iterdir()] == [".training"]


def test_who_reads_an_unfinished_run_says_so(task, tmp_path, capsys):
    place = tmp_path / "run"
    run = task.train(task.method, task.folder, profile="ci", folder=place, steps=2)
    next(run)
    run.save()
    assert __main__.main(["evaluate", str(place), "--data", str(task.folder)]) == 0
    assert "steps 1 · of 2, unfinished" in capsys.readouterr().out
    out = tmp_path / ("scans" if task.name == "segmentation" else "scores.csv")
    assert __main__.main(["predict", str(place), "--data", str(task.folder), "--out", str(out)]) == 0
    assert "run: unfinished, 1 of 2 steps are done" in capsys.readouterr().err


def test_an_evaluation_of_earlier_weights_overwrites_none(task, run):
    late = task.module.resume(run.folder, task.folder)
    late.change(steps=2)
    early = task.module.resume(run.folder, task.folder)
    task.module.evaluate(late.finish(False))
    before = (run.folder / "report.json").read_bytes()
    with pytest.raises(BadInput, match="found one of step 2 that somebody else wrote"):
        task.module.evaluate(early)
    assert (run.folder / "report.json").read_bytes() == before


def test_a_name_like_an_address_is_a_file():
    for cell, place in {"javascript:alert(1)": "javascript%3Aalert%281%29", "a b/c.json": "a%20b/c.json"}.items():
        page = report.Report("", [{"at": cell}], lines=[[report.Column("at", kind="link")]])._repr_html_()
        assert f'href="{place}"' in page
    page = report.Report("", [{"at": "https://a.org/b?c"}], lines=[[report.Column("at", kind="link")]])._repr_html_()
    assert 'href="https://a.org/b?c"' in page


def test_a_name_that_is_no_utf8_is_shown_and_written_as_escapes(tmp_path):
    table = report.Report("", [{"at": "a\udcff"}])
    assert "<td>a\\xff</td>" in table._repr_html_().encode().decode()
    table.save(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_bytes())["rows"] == [{"at": "a\udcff"}]


def test_a_run_goes_to_no_folder_that_its_checkpoint_could_not_be_read_from(task, tmp_path):
    with pytest.raises(BadInput, match="folder: expected a name in UTF-8"):
        task.train(task.method, task.folder, profile="ci", folder=tmp_path / "a\udcff")
    assert not list(tmp_path.iterdir())
