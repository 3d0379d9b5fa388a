"""README's first results and data/results/README.md, written from the files in data/results.

A page is made from a template beside those files, in which {{expression}} is what Python makes of it with the functions
below. So no figure that a run gave is typed by hand, nor a word that follows from one, as "contains". A test finds a
page that its files do not give.
"""

import json
import re
import textwrap
from functools import cache

from timing import markdown_lines

from i2pemd_lite.classification import paper as skin_paper
from i2pemd_lite.files import BadInput, atomic_write, root
from i2pemd_lite.panels.parts import FULL, committed
from i2pemd_lite.segmentation import paper as organ_paper
from i2pemd_lite.segmentation.report import summary
from i2pemd_lite.tables.report import plus_minus, with_nan
from i2pemd_lite.tables.statistics import interval

RESULTS = root() / "data" / "results"
PAGES = {root() / "README.md": RESULTS / "first.in.md", RESULTS / "README.md": RESULTS / "README.in.md"}
"""Page -> its template; of README it is what lies between the marks."""
BEGIN, END = "<!-- python3 run.py bench figures -->\n", "<!-- end of figures -->"
NAMES = organ_paper.NAMES | skin_paper.NAMES | {"i2pemd": "Ours (I2PEMD)"}
RANDOM = "classification-random"  # the runs of a small network from random weights
AUC, F1 = (RANDOM, "AUC"), (RANDOM, "F1")
SAYS = {"ahead": "is ahead of", "behind": "is behind", "not told apart": "cannot be told apart from"}
"""`statistics.Interval.verdict` -> how a sentence on a method says it."""


def figure_rows(quick):
    """Write the pages, unless `quick`: a row for each, with the number of its figures."""
    found = []
    for page, template in PAGES.items():
        text, number = filled(template.read_text(encoding="utf-8"))
        if not quick:
            with atomic_write(page) as file:
                file.write_text(placed(page.read_text(encoding="utf-8"), text), encoding="utf-8")
        found.append({"where": "data/results", "what": page.relative_to(root()).as_posix(), "figures": number})
    return found


def placed(page, text):
    """A page with this text between its marks; where it has none, the text."""
    before, mark, rest = page.partition(BEGIN)
    return f"{before}{mark}{text}{END}{rest.partition(END)[2]}" if mark else text


def filled(template):
    """(text, number of figures) of a template.

    Example
    -------
    >>> filled("twice two is {{2 * 2}}")
    ('twice two is 4', 1)
    """
    text, number = re.subn(r"\{\{(.+?)\}\}", lambda found: str(eval(found[1], globals())), template, flags=re.S)
    parts = r"^(?![|#<]|```).+(?:\n(?![|#<\n]|```|- ).+)*"
    return re.sub(parts, lambda part: wrapped(part[0]), text, flags=re.M), number


def wrapped(part):
    """A paragraph or an item of a list, in new lines where one has more than 120 characters."""
    if max(map(len, part.split("\n"))) <= 120:
        return part
    indent = "  " if part.startswith("- ") else ""
    return textwrap.fill(" ".join(part.split()), 118, subsequent_indent=indent, break_on_hyphens=False)


@cache
def content(name):
    """What a file in data/results holds."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def rows(name):
    """The rows of a file in data/results."""
    return content(name)["rows"] if isinstance(content(name), dict) else content(name)


def row(name, **wanted):
    """The one row of a file that has these values."""
    (found,) = (each for each in rows(name) if wanted.items() <= each.items())
    return found


def number(value, digits=1, sign=""):
    """A number with so many digits, and a minus that is no hyphen; none for what is rounded to 0."""
    return f"{value:{sign}z.{digits}f}".replace("-", "−")


def spread(found, column):
    """Mean ± SD of a row, "-" where it has no mean; the mean alone where it has one seed."""
    mean, sd = (found.get(name) for name in (column, f"{column} sd"))
    return "-" if mean is None else plus_minus(mean) if sd is None else plus_minus(mean, sd)


def table(header, body):
    """A table as Markdown."""
    return "\n".join(markdown_lines(header, body))


def seeds(folder, method, column):
    """{seed: figure} of the runs of a method with the settings of the tables."""
    main = {"τ_low": 0.7, "τ_high": 0.8} if folder.startswith("classification") else {}
    return {each["seed"]: each[column] for each in rows(f"{folder}/runs")
            if each["method"] == method and main.items() <= each.items()}  # fmt: skip


def gap(one, other, folder="segmentation", column="overall DOC"):
    """The `statistics.Interval` of one method minus another, over the seeds that both have."""
    return interval(list(differences(one, other, folder, column).values()))


def differences(one, other, folder, column):
    """{seed: one method minus another}, of the seeds that both have."""
    a, b = (seeds(folder, method, column) for method in (one, other))
    return {seed: a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())}


def told(one, other, *where):
    """The `gap` of two seeds or more; one alone says nothing of methods."""
    found = gap(one, other, *where)
    if found.n < 2:
        raise BadInput(f"{one}, {other}: expected two seeds that both have, found {found.n}; write of the runs alone")
    return found


def less(one, other, *where, sign=""):
    """The mean and the interval of `gap`."""
    found = told(one, other, *where)
    return f"{number(found.mean, 1, sign)} [{number(found.low, 1, sign)}, {number(found.high, 1, sign)}]"


def beside(one, others, *where):
    """What the seeds say of one method beside others.

    Example
    -------
    >>> beside("i2pemd", ["baseline", "fixmatch"], *AUC)
    'cannot be told apart from Baseline and FixMatch'
    """
    found = {}
    for other in others:
        found.setdefault(SAYS[told(one, other, *where).verdict], []).append(NAMES[other])
    return "; ".join(f"{says} {' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))}"
                     for says, names in found.items())  # fmt: skip


def printed(one, other=None, figure=""):
    """What the paper prints for a method, or for it less another: overall DOC, or a figure of Table 4."""
    if other:
        return printed(one, None, figure) - printed(other, None, figure)
    return getattr(skin_paper.TABLE4[one], figure) if figure else organ_paper.TABLE1[one].means[-1]


def papers(one, other, *where, figure=""):
    """The paper's gap, and whether the interval of ours contains it."""
    found, theirs = told(one, other, *where), printed(one, other, figure)
    inside = "contains" if found.low <= theirs <= found.high else "does not contain"
    return f"{inside} the paper's {number(theirs, 2 if figure else 1)}"


def once(name, but=()):
    """Overall DOC of the rows of one seed, one after another."""
    found = [each for each in rows(name) if each["seeds"] == 1 and each["method"] not in but]
    return ", ".join(f"{NAMES[each['method']]} {number(each['mean'])}" for each in found)


def contents(places):
    """What lies where: {folder: the network and the images in words}, with the steps and the seeds of every row."""
    body = []
    for folder, words in places.items():
        found, by_seeds = rows(f"{folder}/table{1 if folder.startswith('segmentation') else 4}"), {}
        for each in found:
            by_seeds.setdefault(each["seeds"], []).append(NAMES[each["method"]])
        said = (f"{n} seed{'s' * (n > 1)}: {', '.join(by_seeds[n])}" for n in sorted(by_seeds, reverse=True))
        steps = max(each["steps"] for each in rows(f"{folder}/runs"))
        body.append(f"- [{folder}]({folder}/tables.md), {words}, {steps:,} steps; {'; '.join(said)}.")
    return "\n".join(body)


def organs(folder="segmentation"):
    """The means of every method with more seeds than one, the paper's beside."""
    columns, found = ("ct mean", "mr mean", "mean"), [each for each in rows(f"{folder}/table1") if each["seeds"] > 1]
    body = [[NAMES[each["method"]], *(spread(each, name) for name in columns), f"{each['paper mean']:.1f}"]
            for each in sorted(found, key=lambda each: each["mean"])]  # fmt: skip
    n = max(each["seeds"] for each in found)
    return table([f"DOC (%), mean ± SD of {n} seeds", "CT", "MR", "overall", "paper"], body)


def luck(column):
    """By how many points a part that is worth nothing is other, as their panel shows it."""
    return committed().luck[column]


def parts():
    """The parts of the preset "beyond" that were changed, those that cost most first, beside the full recipe."""
    full = row("segmentation-parts/parts", part=FULL)["unusual"]
    body = [[each["part"], number(each["DOC"]), number(each["Δ"], 1, "+"), number(each["unusual"]),
             number(each["unusual"] - full, 1, "+")]
            for each in sorted(rows("segmentation-parts/parts"), key=lambda each: each["Δ"])]  # fmt: skip
    return table(["%", "DOC", "beside full", "unusual", "beside full"], body)


def longer():
    """What augmentation does after 2,000 steps: DOC on usual scans, on unusual ones, on those with a large spleen."""
    body, large = [], "large spleen"
    for views, end in (("the preset", ""), ("with wide and organ", "-wide-organ"), ("none", "-no-augmentation")):
        name = f"segmentation-beyond/report{end}"
        found = summary([*cases(name).values()])["doc"], unusual(name, "all"), unusual(name, large)
        body.append([views, *map(number, (*found, unusual(name, large, "spleen")))])
    return table(["augmentation", "usual", "unusual", large, "its spleen alone"], body)


def raced(what):
    """DOC of one contestant at the end of the race."""
    return number([each for each in rows("segmentation-beyond/race") if each["what"] == what][-1]["DOC"])


def as_long_as(what):
    """A step of the proposed method as a multiple of one of this contestant."""
    found = {each["what"]: each.get("time") for each in content("segmentation-beyond/step")["step"]}
    return number(found["joint_sepbn_i2pemd"] / found[what], 2)


def cases(name):
    """{case: its row, with DOC by organ} of an evaluation in data/results."""
    return {each["case"]: each for each in with_nan(content(name)["cases"])}


def unusual(name, stress, of="mean"):
    """DOC, of all organs or of one, on unusual scans of a kind, of an evaluation in data/results."""
    both = (each for each in content(name)["stress"]["rows"] if each["modality"] == "both")
    return next(each[of] for each in both if each["stress"] == stress)


def but_for(case, name="segmentation-beyond/report"):
    """The mean of DOC of the modality of a case without it."""
    found = cases(name)
    return number(summary([row for row in found.values() if row["case"] != case])[found[case]["modality"]])


def lesions(folder="classification"):
    """AUC, F1 and top-1 of every method, the paper's beside."""
    body = [[NAMES[each["method"]], each["seeds"], spread(each, "auc"), f"{each['paper auc']:.2f}", spread(each, "f1"),
             f"{each['paper f1']:.2f}", spread(each, "top1")] for each in rows(f"{folder}/table4")]  # fmt: skip
    return table(["%, mean ± SD", "seeds", "AUC", "paper", "F1", "paper", "top-1"], body)


def across(name, methods, lines):
    """Some methods side by side: lines {head: column}, each with the paper's below it."""
    found = [row(name, method=method) for method in methods]
    body = []
    for head, column in lines.items():
        digits = 1 if column == "mean" else 2  # as the paper prints them
        theirs = (f"{each[f'paper {column}']:.{digits}f}" for each in found)
        body += [[head, *(spread(each, column) for each in found)], ["paper", *theirs]]
    return table(["", *(NAMES[method] for method in methods)], body)


def pearsons(folder, other):
    """r of mI2PEMD with another quantity, of each seed."""
    return ", ".join(number(each["r"], 2, "+") for each in rows(f"{folder}/table2") if each[""].endswith(f" {other}"))


def right(which, folder="classification"):
    """Percent of the pseudo-labels of a region that are right, in the runs of I2PEMD."""
    return number(row(f"{folder}/bands", method="i2pemd")[f"{which} right %"])


def added(*methods):
    """‖∇(L − L_s)‖ / ‖∇L_s‖ over a run, of each method."""
    found = {each["what"]: each["over the run"] for each in rows(f"{RANDOM}/added")}
    return ", ".join(f"{name} {found[name]:.2g}" for name in methods)


def by_seed(one, other, *where):
    """The differences, seed by seed."""
    return "by seed " + ", ".join(number(each, 1, "+") for each in differences(one, other, *where).values())


def organ(method):
    """Overall DOC of a method at the paper's size."""
    return spread(row("segmentation-gpu/table1", method=method), "mean")


def dropped(what):
    """How far dropout moves something about pseudo-labels at most, in any row and quarter of a run."""
    return number(max(abs(each[f"on: {what}"] - each[f"off: {what}"]) for each in rows(f"{RANDOM}/dropout")))


def sizes():
    """Overall DOC by feature size d."""
    return ", ".join(f"d = {each['d']} {number(each['mean'])}" for each in rows("segmentation/figure6a"))


def term(name):
    """A term of the loss at the paper's size, in the first part of a run and in the last."""
    found = rows("segmentation-gpu/figure6b")
    return f"{found[0][name]:.2f} to {found[-1][name]:.2f}"


def choices(folder, name, columns, file="open_choices"):
    """The runs on what the paper leaves open, or those of another file: columns {head: column}."""
    body = [[each[name], *(number(each[column]) for column in columns.values())]
            for each in rows(f"{folder}/{file}")]  # fmt: skip
    return table(["%", *columns], body)

