"""Transport between two histograms: every number of Eq. 1 and 2 on one card, checked by two other solvers."""

from typing import NamedTuple

import numpy as np

from i2pemd_lite.emd import Transport, emd
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import style
from i2pemd_lite.panels.panel import Panel, cell, slider, switch

COSTS = [[0.0, 0.4, 0.8], [0.4, 0.0, 0.6], [0.8, 0.6, 0.0]]


class Result(NamedTuple):
    """What the card shows: the problem, our solution, and how far other solvers are from it."""

    p: np.ndarray
    q: np.ndarray
    cost: np.ndarray
    printed: bool
    transport: Transport
    pot_gap: float  # |ours − ot.emd2|; NaN where the masses differ, which ot.emd2 does not take
    lp_gap: float  # |ours − scipy's linear program|
    residual: float  # the worst violation of a constraint by the plan


def linear_program(p, q, cost, flow=None):
    """Eq. 1 as a linear program in scipy's HiGHS, which shares no code with the network simplex of POT.

    Parameters
    ----------
    p, q, cost : as for `emd`
    flow : the total that must be carried; None leaves that line out, as Eq. 1 is printed

    Returns
    -------
    cost, plan (m, n)

    Example
    -------
    >>> cost, plan = linear_program([0.5, 0.5], [1.0, 0.0], [[0, 2], [2, 0]])
    >>> float(cost), float(plan.sum())
    (0.0, 0.0)
    >>> float(linear_program([0.5, 0.5], [1.0, 0.0], [[0, 2], [2, 0]], flow=1.0)[0])
    1.0
    """
    from scipy.optimize import linprog

    m, n = np.shape(cost)
    # Row sums and column sums of x as one matrix that acts on x.ravel()
    sums = np.vstack([np.kron(np.eye(m), np.ones(n)), np.kron(np.ones(m), np.eye(n))])
    total = {} if flow is None else {"A_eq": np.ones((1, m * n)), "b_eq": [flow]}
    found = linprog(np.ravel(cost), A_ub=sums, b_ub=np.concatenate([p, q]), method="highs-ds", **total)
    if not found.success:
        raise BadInput(f"linear program: expected a solution, found {found.message}")
    return found.fun, found.x.reshape(m, n)


def compute(state):
    """Solve the problem of the state, and check the solution.

    `state` has p and q (masses), cost (m × n), equal (scale both to a mass of 1) and printed (Eq. 1 to the letter).
    """
    p, q, cost = (np.array(state[name], dtype=float) for name in ("p", "q", "cost"))
    if state["equal"]:
        for name, mass in (("p", p), ("q", q)):
            if mass.sum() == 0:
                raise BadInput(f"{name}: expected some mass, found none; move one of its sliders up")
        p, q = p / p.sum(), q / q.sum()
    if state["printed"]:
        value, plan = linear_program(p, q, cost)
        ours = Transport(float(value), plan, float(plan.sum()))
        return Result(p, q, cost, True, ours, np.nan, 0.0, _residual(plan, p, q, 0.0))
    ours = emd(p, q, cost)
    flow = min(p.sum(), q.sum())
    return Result(
        p,
        q,
        cost,
        False,
        ours,
        abs(ours.cost - _pot(p, q, cost)) if np.isclose(p.sum(), q.sum(), atol=1e-12) else np.nan,
        abs(ours.cost - linear_program(p, q, cost, flow)[0]),
        _residual(ours.plan, p, q, flow),
    )


def _pot(p, q, cost):
    import ot

    return float(ot.emd2(p, q * (p.sum() / q.sum()), cost))


def _residual(plan, p, q, flow):
    over = [plan.sum(1) - p, plan.sum(0) - q, -plan.ravel(), [flow - plan.sum()]]
    return max(0.0, *(float(np.max(part)) for part in over))


def draw(figure, result):
    """Left the costs, middle the plan between its two histograms, right the same plan as a flow."""
    art = style.artists(figure, lambda figure: _Card(figure, *result.cost.shape))
    x, top = result.transport.plan, max(result.p.max(), result.q.max(), 1e-9)
    art.cost.show(result.cost, top=max(result.cost.max(), 1e-9))
    art.plan.show(x, top=top)
    for bars, masses, sums in ((art.p_bars, result.p, x.sum(1)), (art.q_bars, result.q, x.sum(0))):
        bars.show(masses, sums)
    art.suppliers.set_sizes(900 * result.p / top + 8)
    art.consumers.set_sizes(900 * result.q / top + 8)
    art.flow.set_linewidths(16 * x.ravel() / top)
    for label, value in zip(art.flow_labels, x.ravel(), strict=True):
        label.set_text(style.number(value) if value > 1e-9 else "")
    left_over = result.p.sum() - result.transport.flow
    art.verdict.set_text(
        "x = 0: nothing moves, cost 0, and Eq. 2 is 0/0"
        if result.transport.flow < 1e-12
        else f"cost {result.transport.cost:.4f}   flow {result.transport.flow:.3f}   EMD {result.transport.emd:.4f}"
        + (f"   {left_over:.3f} of p stays" if left_over > 1e-9 else "")
    )


class _Card:
    """The artists of the card, for m suppliers and n consumers."""

    def __init__(self, figure, m, n):
        p, q = style.names("p", m), style.names("q", n)
        self.cost = style.Matrix(figure.add_axes([0.05, 0.17, 0.22, 0.60]), "", p, q)
        figure.text(0.02, 0.93, "Cost g of one unit", size=9.5)
        self.p_axes = style.blank(figure.add_axes([0.325, 0.15, 0.075, 0.47]))
        self.q_axes = style.blank(figure.add_axes([0.41, 0.64, 0.17, 0.19]))
        figure.text(0.325, 0.93, "Plan x, between supply p and demand q", size=9.5)
        self.plan = style.Matrix(figure.add_axes([0.41, 0.15, 0.17, 0.47]), "", [""] * m, [""] * n)
        self.plan.image.set(interpolation="nearest")
        self.plan.axes.set_aspect("auto")
        self.p_bars = _Bars(self.p_axes, p, style.SOURCE, across=True)
        self.q_bars = _Bars(self.q_axes, q, style.TARGET, across=False)
        self._flow(figure.add_axes([0.64, 0.10, 0.33, 0.76]), p, q)
        figure.text(0.65, 0.93, "The same plan as a flow", size=9.5)
        self.verdict = figure.text(0.325, 0.035, "", size=9, weight="bold")

    def _flow(self, axes, p, q):
        from matplotlib.collections import LineCollection

        style.blank(axes)
        axes.set(xlim=(-0.2, 1.2), ylim=(max(len(p), len(q)) - 0.5, -0.5))
        ends = [[(0, i), (1, j)] for i in range(len(p)) for j in range(len(q))]
        self.flow = axes.add_collection(LineCollection(ends, colors=style.LINE, capstyle="butt", zorder=1))
        # Labels at a third of the way from their supplier, so that crossing lines do not share one.
        self.flow_labels = [
            axes.text(0.3, i + 0.3 * (j - i), "", ha="center", va="center", size=8.5, weight="bold")
            for i in range(len(p))
            for j in range(len(q))
        ]
        left, right = ([0] * len(p), range(len(p))), ([1] * len(q), range(len(q)))
        self.suppliers = axes.scatter(*left, color=style.BLUE, marker="o", zorder=2)
        self.consumers = axes.scatter(*right, color=style.ORANGE, marker="x", linewidth=3, zorder=2)
        for i, name in enumerate(p):
            axes.text(-0.14, i, name, ha="right", va="center", color=style.BLUE, weight="bold")
        for j, name in enumerate(q):
            axes.text(1.14, j, name, ha="left", va="center", color=style.ORANGE, weight="bold")


class _Bars:
    """A histogram beside the plan: the mass as a bar with its mark, and a dark tick at the sum of the plan."""

    def __init__(self, axes, names, mark, across):
        self.across = across
        where = range(len(names))
        make = axes.barh if across else axes.bar
        self.bars = make(where, [0] * len(names), 0.62, color=mark["color"], alpha=0.9)
        self.sums = axes.plot(where, where, color=style.BLACK, marker="|" if across else "_", ms=15, mew=2, ls="")[0]
        align = {"ha": "right", "va": "center"} if across else {"ha": "center", "va": "bottom"}
        self.texts = [axes.text(0, 0, "", size=8, color=mark["color"], weight="bold", **align) for _ in names]
        self.names = names
        along = (len(names) - 0.5, -0.5) if across else (-0.5, len(names) - 0.5)
        style.limits(axes, *(((1.3, 0), along) if across else (along, (0, 1.3))))

    def show(self, masses, sums):
        where = np.arange(len(masses))
        self.sums.set_data(*((sums, where) if self.across else (where, sums)))
        for k, (bar, text) in enumerate(zip(self.bars, self.texts, strict=True)):
            (bar.set_width if self.across else bar.set_height)(masses[k])
            text.set_position((masses[k], k) if self.across else (k, masses[k]))
            text.set_text(f"{self.names[k]} {style.number(masses[k])}" + " " * self.across)


def describe(result):
    """The plan in words, and the checks in numbers."""
    t = result.transport
    moves = [(t.plan[i, j], i, j) for i, j in np.argwhere(t.plan > 1e-9)]
    biggest = max(moves, default=None)
    words = (
        "Eq. 1 as printed: the cheapest plan carries nothing, so the cost is 0 whatever p and q are."
        if biggest is None
        else f"{len(moves)} of {t.plan.size} routes are used; the largest carries {style.number(biggest[0])} "
        f"from p{style.subscript(biggest[1] + 1)} to q{style.subscript(biggest[2] + 1)}."
    )
    gaps = {} if result.printed else {"gap to ot.emd2": _gap(result.pot_gap), "gap to scipy's LP": _gap(result.lp_gap)}
    return words, {
        "cost": f"{t.cost:.6f}",
        "flow": f"{t.flow:.6f}",
        "EMD (Eq. 2)": "0/0" if t.flow < 1e-12 else f"{t.emd:.6f}",
        **gaps,
        "worst constraint violation": f"{result.residual:.1e}",
    }


def _gap(gap):
    return "takes equal masses only" if np.isnan(gap) else f"{gap:.1e}" + (" ✓" if gap < 1e-9 else " ✗ too large")


def panel(p=(0.5, 0.3, 0.2), q=(0.2, 0.2, 0.6), cost=COSTS, equal=True, printed=False):
    """The card with a slider for each mass and a field for each cost; any m suppliers and n consumers up to 5.

    `equal` scales both masses to 1, `printed` leaves out the constraint that Eq. 1 does not print.

    Example
    -------
    >>> card = panel()
    >>> round(card.result.transport.cost, 6), card.result.lp_gap < 1e-9
    (0.3, True)
    """
    m, n = np.shape(cost)
    if (m, n) != (len(p), len(q)) or max(m, n) > 5:
        raise BadInput(f"cost: expected {len(p)} × {len(q)} numbers, at most 5 × 5, found {m} × {n}")
    masses = {
        f"{side}{k + 1}": slider(f"{side}{style.subscript(k + 1)} (mass)", float(v), 0.0, 1.0, 0.05, width="250px")
        for side, values in (("p", p), ("q", q))
        for k, v in enumerate(values)
    }
    costs = {
        f"g{i + 1}{j + 1}": cell(f"g{style.subscript(i + 1)}{style.subscript(j + 1)}", float(cost[i][j]), 0.0, 10.0)
        for i in range(m)
        for j in range(n)
    }
    switches = {
        "equal": switch("scale p and q to a mass of 1 each", equal, "270px"),
        "printed": switch("Eq. 1 as printed, without the total flow", printed, "330px"),
    }

    def solve(state):
        return compute(
            {
                "p": [state[f"p{i + 1}"] for i in range(m)],
                "q": [state[f"q{j + 1}"] for j in range(n)],
                "cost": [[state[f"g{i + 1}{j + 1}"] for j in range(n)] for i in range(m)],
                "equal": state["equal"],
                "printed": state["printed"],
            }
        )

    rows = [[f"{side}{k + 1}" for k in range(size)] for side, size in (("p", m), ("q", n))]
    return Panel(
        "transport",
        {**masses, **costs, **switches},
        solve,
        draw,
        describe,
        layout=[*rows, list(costs), list(switches)],
    )
