"""The ledger: all equations hold; what is missing is found; and every row turns red when its code is wrong."""

import ast
import copy
import re
import shutil
from html.parser import HTMLParser

import pytest
import torch

from i2pemd_lite import BadInput, emd, ground, losses, prototypes, selection
from i2pemd_lite.__main__ import main
from i2pemd_lite.classification.methods import pseudo
from i2pemd_lite.course.about import equations, ledger
from i2pemd_lite.course.about.ledger import IDS, difference

every_equation = pytest.mark.parametrize("name", IDS)


def row(name, **where):
    return ledger.ledger(**where, only=[name])[0]


def worst(name, seed):
    function = getattr(equations, name)
    return max(difference(*function(equations.np.random.default_rng([seed, draw]))) for draw in range(5))


def test_what_differs_in_shape_or_is_no_number_differs_without_bound():
    assert difference([1.0, 2.0], [1.0, 2.5]) == 0.5
    assert difference(1.0, [1.0, 1.0]) == difference(1.0, float("nan")) == float("inf")


# All three are there, and hold


@every_equation
@pytest.mark.parametrize("seed", range(1, 5))
def test_ours_is_what_another_computes(name, seed):
    assert worst(name, seed) <= getattr(equations, name).tolerance


@every_equation
def test_tolerances_are_those_of_the_precision(name):
    """What is counted agrees exactly, float64 to a few roundings, and only what runs in float32 may differ by more."""
    assert getattr(equations, name).tolerance in (0, 1e-9, 1e-5)


def test_inputs_have_random_sizes():
    for name in IDS:
        ours = [getattr(equations, name)(equations.np.random.default_rng(seed))[0] for seed in range(8)]
        values = [str(torch.as_tensor(each).detach().double().flatten().tolist()) for each in ours]
        assert len(set(values)) > 6, name


@pytest.fixture(scope="module")
def found():
    """The ledger as it is."""
    return ledger.ledger()


def test_every_equation_has_a_docstring_a_lesson_and_a_test(found):
    assert [each.id for each in found] == list(IDS)
    assert not [why for each in found for why in each.wrong]
    assert not any(row.wrong for row in found) and "21 of 21 equations hold" in str(found)


def test_a_home_is_where_it_says(found):
    for each in found:
        line = each.home.file.read_text(encoding="utf-8").splitlines()[each.home.line - 1]
        assert re.search(rf"(def|class) {each.home.name.rpartition('.')[2]}\b", line)
        assert all(place.file.exists() and place.name for place in each.lessons)


# Planted: one of the three is missing


@pytest.fixture
def uncomputed(monkeypatch):
    """Only look the equations up, which takes less long."""
    monkeypatch.setattr(ledger, "DRAWS", 0)


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the module's sources and of the lessons, which are looked up in place of these."""
    for name, folder in (("package", ledger.PACKAGE), ("notebooks", ledger.NOTEBOOKS)):
        shutil.copytree(folder, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    monkeypatch.setattr(ledger, "PACKAGE", tmp_path / "package")
    return {"notebooks": tmp_path / "notebooks"}


def erase(name, places):
    for file in {place.file for place in places}:
        file.write_text(file.read_text(encoding="utf-8").replace(name, "eq"), encoding="utf-8")


@every_equation
def test_a_docstring_that_does_not_name_it_is_missed(name, copied, uncomputed):
    fine = row(name, **copied)
    assert not fine.wrong
    erase(name, [fine.home])
    found = row(name, **copied)
    assert found.verdict == "missing" and "no docstring" in found.wrong[0] and found.home is None
    assert "-" in str(ledger.Ledger([found])).split() and "✗" in ledger.Ledger([found])._repr_mimebundle_()["text/html"]


@every_equation
def test_a_lesson_that_does_not_name_it_is_missed(name, copied, uncomputed, capsys):
    erase(name, row(name, **copied).lessons)
    found = ledger.ledger(**copied)
    assert [each.id for each in found if each.wrong] == [name]
    assert found[ledger.IDS.index(name)].wrong == [f"no lesson: no cell names {name}"]
    assert f"20 of 21 equations hold; look at {name}" in str(found)
    if name == "eq07":
        assert main(["ledger", "--notebooks", str(copied["notebooks"])]) == 1
        assert "no cell names eq07" in capsys.readouterr().out


def test_no_equation_is_left_out_and_each_has_one_home(found):
    assert [each.id for each in found] == [f"eq{n:02d}" for n in range(1, 22)]
    homes = [(each.home.file, each.home.line, each.id) for each in found]
    named = []
    for file in sorted(ledger.PACKAGE.rglob("*.py")):
        if file.is_relative_to(ledger.PACKAGE / "course"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                ids = set(re.findall(r"\beq\d\d\b", ast.get_docstring(node) or ""))
                named += [(file, getattr(node, "lineno", 1), name) for name in ids]
    assert sorted(named) == sorted(homes)


# Planted: each equation is computed wrongly, in a way that is easy to get wrong

UPDATE, SELECT, STEP = prototypes.PrototypeBank.update, selection.select, pseudo.pseudo_labels
SEGMENTATION, MEANS, DISTANCES, RANKS = (
    losses.segmentation_loss,
    prototypes.class_means,
    ground.prototype_distances,
    ground.percentile_ranks,
)


def everybody_to_everybody(p, q, cost):
    plan = p[:, None] * q / max(p.sum(), q.sum())
    return emd.Transport(float((plan * cost).sum()), plan, float(plan.sum()))


def by_voxel(z, y, G, divide=lambda n: n):
    kept = y != -100
    d = emd.i2pemd(z.softmax(1), y.where(kept, 0), G)[kept]
    return d.sum() / divide(len(d))


def momentum_swapped(bank, features, labels, mask=None):
    bank.momentum = 1 - bank.momentum
    UPDATE(bank, features, labels, mask)
    bank.momentum = 1 - bank.momentum


def the_absent_decay(bank, features, labels, mask=None):
    absent = torch.ones(bank.num_classes, dtype=torch.bool)
    absent[labels[mask]] = False
    UPDATE(bank, features, labels, mask)
    bank.prototypes[absent] *= bank.momentum


def of_all(features, labels, num_classes):
    means, counts = MEANS(features, labels, num_classes)
    return means * counts[:, None] / counts.sum(), counts


def labelled_by_the_strong_view(desk, t):
    other = copy.copy(desk)
    other.views = desk.views | {"weak": desk.views["strong"], "strong": desk.views["weak"]}
    return STEP(other, t)


def no_gradient_of_the_labelled(desk, t):
    found = STEP(desk, t)
    return found | {"loss": found["labelled"].detach() + desk.settings.weight * found["unlabelled"]}


def without_weight(desk, t):
    found = STEP(desk, t)
    return found | {"loss": found["labelled"] + found["unlabelled"]}


def selects(change):
    return lambda o, G, **rule: change(SELECT(o, G, **rule), o, rule)


def farthest(found, o, rule):
    last = (-found.distances).argsort()[: rule["top"]]
    return found._replace(near=torch.zeros_like(found.near).scatter(0, last, True))


MUTANTS = {
    "eq01": (emd, "emd", everybody_to_everybody),
    "eq02": (emd.Transport, "emd", property(lambda transport: transport.cost)),
    "eq03": (ground, "prototype_distances", lambda c: torch.cdist(c, c)),
    "eq04": (ground, "percentile_ranks", lambda g: (g[:, None] <= g[:, :, None]).sum(-1) / len(g)),
    "eq05": (ground, "ground_distance", lambda c: RANKS(DISTANCES(c))),
    "eq06": (emd, "i2pemd", lambda p, y, G: (p * G.T[:, y].movedim(0, 1)).sum(1)),
    "eq07": (losses, "segmentation_loss", lambda z, y, G, weight: SEGMENTATION(z, y, G)),
    "eq08": (losses, "i2pemd_loss", by_voxel),
    "eq09": (losses, "i2pemd_loss", lambda z, y, G: by_voxel(z, y, G, divide=lambda n: y.numel())),
    "eq10": (prototypes.PrototypeBank, "update", momentum_swapped),
    "eq11": (prototypes, "class_means", of_all),
    "eq12": (pseudo, "pseudo_labels", no_gradient_of_the_labelled),
    "eq13": (pseudo, "pseudo_labels", labelled_by_the_strong_view),
    "eq14": (pseudo, "pseudo_labels", without_weight),
    "eq15": (selection, "select", selects(lambda s, o, _: s._replace(scores=s.scores - o.sort().values[:, -2]))),
    "eq16": (selection, "select", selects(farthest)),
    "eq17": (selection, "select", selects(lambda s, *_: s._replace(low=s.confident | s.near))),
    "eq18": (selection, "select", selects(lambda s, *_: s._replace(mask=s.low & s.high))),
    "eq19": (pseudo.SELECTIONS, "learned", pseudo.SELECTIONS["all"]),
    "eq20": (prototypes.PrototypeBank, "update", the_absent_decay),
    "eq21": (prototypes.PrototypeBank, "update", lambda bank, f, y, mask=None: UPDATE(bank, f, y)),
}


def test_there_is_a_mutant_of_each():
    assert list(MUTANTS) == list(IDS)


@every_equation
def test_a_row_turns_red_when_its_function_is_wrong(name, monkeypatch):
    home, attribute, wrong = MUTANTS[name]
    (monkeypatch.setitem if isinstance(home, dict) else monkeypatch.setattr)(home, attribute, wrong)
    for seed in range(3):
        found = row(name, seed=seed)
        assert found.verdict == "wrong" and found.gap > 100 * found.test.tolerance
        assert "differ by" in found.wrong[0], found.wrong


def test_a_function_that_raises_is_a_red_row_and_not_the_end(monkeypatch, capsys):
    monkeypatch.setattr(ground, "percentile_ranks", lambda g: 1 / 0)
    found = ledger.ledger()
    assert "ZeroDivisionError" in found[3].wrong[0] and found[3].verdict == "wrong"
    assert not found[2].wrong and not found[5].wrong
    assert main(["ledger"]) == 1
    assert "eq04: it cannot be computed" in capsys.readouterr().out


# Shown


def test_the_command_ends_well_when_all_is_well(capsys):
    assert main(["ledger", "--seed", "3"]) == 0
    said = capsys.readouterr().out
    assert all(re.search(rf"^{name}  right", said, flags=re.M) for name in IDS)
    assert max(map(len, said.splitlines())) < 260


def test_a_seed_below_0_is_told(capsys):
    assert main(["ledger", "--seed=-1"]) == 1
    assert "seed: expected a whole number from 0, found -1" in capsys.readouterr().err


def test_no_notebooks_is_told(tmp_path, capsys):
    assert main(["ledger", "--notebooks", str(tmp_path)]) == 1
    assert "expected the lessons" in capsys.readouterr().err
    with pytest.raises(BadInput, match="--notebooks"):
        ledger.ledger(notebooks=tmp_path)


class Table(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.links, self.rows, self.open, self.styles = [], 0, [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.rows += tag == "tr"
        self.links += [value for name, value in attributes if name == "href"]
        self.styles += [value for name, value in attributes if name == "style"]
        self.open += [tag] * (tag != "br")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_notebook_shows_a_table_with_links_that_lead_somewhere(found):
    shown = found._repr_mimebundle_()
    table, known = Table(shown["text/html"]), {place.name for each in found for place in each.lessons}
    assert shown["text/plain"] == repr(found) and repr(found).endswith("21 of 21 equations hold")
    assert table.rows == 22 and len(table.links) >= 42
    for link in table.links:
        file, _, at = link.partition("#")
        kind, _, place = at.partition("=")
        assert (ledger.NOTEBOOKS / file).exists(), link
        assert place in known if kind == "cell-id" else kind == "line"
    # Words and a sign say the verdict, and every colour is the page's own: so it reads in either theme.
    assert shown["text/html"].count("✓ right") == 21
    assert not [style for style in table.styles if "background" in style or re.search(r"color:(?!inherit)", style)]
