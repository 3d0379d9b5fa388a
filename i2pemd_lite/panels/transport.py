"""Transport between two histograms: earth that is carried, every number of Eq. 1 and 2, and two other solvers.

A third check needs no solver at all: prices u and v that no road undercuts prove that nothing cheaper exists.
"""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from i2pemd_lite.emd import Numbers, Transport, emd
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.card import POINT
from i2pemd_lite.panels.engine.panel import Panel, cell, choice, slider, switch

EQUAL = 1e-12  # masses that differ by less are one mass: sums of a few float64 numbers round far below it
COSTS = [[0.0, 0.4, 0.8], [0.4, 0.0, 0.6], [0.8, 0.6, 0.0]]


def linear_program(p: Numbers, q: Numbers, cost: Numbers, flow: float | None = None) -> SimpleNamespace:
    """Eq. 1 as a linear program in scipy's HiGHS, which shares no code with the network simplex of POT.

    `flow` is the total F that must be carried; None leaves that line out, as Eq. 1 is printed.

    Returns its cost and plan (m, n), and the multipliers u (m,), v (n,) and w (0 without a flow) that prove them. They
    solve the dual program, whose value is the same:

    max Σᵢ pᵢ uᵢ + Σⱼ qⱼ vⱼ + F w   subject to   uᵢ + vⱼ + w ≤ gᵢⱼ,   u ≤ 0,   v ≤ 0

    Example
    -------
    >>> letter = linear_program([0.5, 0.5], [1.0, 0.0], [[0, 2], [2, 0]])
    >>> letter.cost, float(letter.plan.sum())
    (0.0, 0.0)
    >>> linear_program([0.5, 0.5], [1.0, 0.0], [[0, 2], [2, 0]], flow=1.0).cost
    1.0
    """
    from scipy.optimize import linprog

    m, n = np.shape(cost)
    # Row sums and column sums of x as one matrix that acts on x.ravel()
    sums = np.vstack([np.kron(np.eye(m), np.ones(n)), np.kron(np.ones(m), np.eye(n))])
    total = {} if flow is None else {"A_eq": np.ones((1, m * n)), "b_eq": [flow]}
    solved = linprog(np.ravel(cost), A_ub=sums, b_ub=np.concatenate([p, q]), method="highs-ds", **total)
    if not solved.success:
        raise BadInput(f"linear program: expected a solution, found {solved.message}")
    w = 0.0 if flow is None else float(solved.eqlin.marginals[0])
    u, v = np.split(solved.ineqlin.marginals, [m])
    return SimpleNamespace(cost=float(solved.fun), plan=solved.x.reshape(m, n), u=u, v=v, w=w)


def prices(program, p, q):
    """The multipliers of a linear program that carries all it can, as one price for each supplier and consumer.

    Such a program carries p or q whole, so F = Σ p or F = Σ q, and w goes into the prices of that side:

    Σᵢ pᵢ uᵢ + Σⱼ qⱼ vⱼ = cost,   uᵢ + vⱼ ≤ gᵢⱼ, with equality on every road in use

    Where both are carried whole, u + c and v − c are as good; c is then such that the dearest consumer who wants
    something pays 0, which against a label makes u the column of the label.

    Returns u (m,) and v (n,).
    """
    supply, demand = np.sum(p), np.sum(q)
    if demand > supply + EQUAL:
        return program.u + program.w, program.v
    if supply > demand + EQUAL:
        return program.u, program.v + program.w
    c = program.v[np.asarray(q) > 0].max()
    return program.u + program.w + c, program.v - c


def compute(state, m, n):
    """Solve the problem of the state, for m suppliers and n consumers, and check the solution.

    `state` has p1 … and q1 … (masses), g11 … (costs), way, and label, equal and printed as `panel` has. In the result

    pot_gap  is |ours − ot.emd2|, NaN where the masses differ, which ot.emd2 does not take
    whole    is scipy's cost with the total flow as a constraint: ours, but for Eq. 1 as printed
    bound    is the dual bound of the prices u and v: no plan that carries all it can costs less
    careless is the cost of the careless plan, xᵢⱼ = pᵢ qⱼ / max(Σp, Σq)
    scaled   says how p and q differ from the masses that the sliders say
    label    is the one bin of q in which all of p fits; then `careless` is the closed form p · G[:, k]
    """
    import ot

    p, said = np.array([state[f"p{i + 1}"] for i in range(m)]), []
    q = np.eye(n)[state["label"] - 1] if state["label"] else np.array([state[f"q{j + 1}"] for j in range(n)])
    cost = np.array([[state[f"g{i + 1}{j + 1}"] for j in range(n)] for i in range(m)])
    if state["equal"]:
        for name, mass in (("p", p), ("q", q)):
            if mass.sum() == 0:
                raise BadInput(f"{name}: expected some mass, found none; move one of its sliders up")
            if abs(mass.sum() - 1) > EQUAL:
                said.append(f"{name}: masses / {style.number(mass.sum())}")
        p, q = p / p.sum(), q / q.sum()
    flow, most = min(p.sum(), q.sum()), max(p.sum(), q.sum())
    program, pot = linear_program(p, q, cost, flow), np.nan
    careless = float(p @ cost @ q) / most if most else 0.0
    label = int(q.argmax()) if np.count_nonzero(q) == 1 and p.sum() <= q.sum() + EQUAL else None
    if state["printed"]:
        letter = linear_program(p, q, cost)
        ours = Transport(letter.cost, letter.plan, float(letter.plan.sum()))
        u, v, flow = letter.u, letter.v, 0.0
    else:
        ours, (u, v) = emd(p, q, cost), prices(program, p, q)
        if most - flow < EQUAL:
            pot = float(ot.emd2(p, q * (p.sum() / q.sum()), cost))
    residuals, under = _residuals(ours.plan, p, q, flow), undercut(p, q, cost, u, v, state["printed"])
    return SimpleNamespace(p=p, q=q, cost=cost, printed=state["printed"], transport=ours, pot_gap=abs(ours.cost - pot),
                           u=u, v=v, whole=program.cost, bound=float(p @ u + q @ v), undercut=under,
                           residuals=residuals, careless=careless, label=label, scaled=", ".join(said),
                           way=state["way"])  # fmt: skip


def undercut(p, q, cost, u, v, printed):
    """The worst violation of uᵢ + vⱼ ≤ gᵢⱼ, and of "≤ 0" on a side that is not carried whole."""
    p, q = p.sum(), q.sum()
    sides = [prices for prices, left in ((u, p - q), (v, q - p)) if printed or left > EQUAL]
    return max(0.0, *(float(part.max()) for part in (u[:, None] + v - cost, *sides)))


def _residuals(plan, p, q, flow):
    """The worst violation by the plan of its row sums, of its column sums, and of x ≥ 0.

    The side that is no larger than the flow must be met, the other not exceeded.
    """
    sides = (plan.sum(1) - p, p), (plan.sum(0) - q, q)
    off = [np.abs(off) if mass.sum() <= flow + EQUAL else off for off, mass in sides]
    return *(max(0.0, float(each.max())) for each in off), max(0.0, -float(plan.min()))


def draw(card, result):
    """Left the earth on its roads, middle the costs and prices, right the plan between its two histograms."""
    t, (m, n) = result.transport, result.cost.shape
    p, q, top = style.names("p", m), style.names("q", n), max(result.p.max(), result.q.max(), 1e-9)
    titles = "Sand on its way from p to q", "Cost g of one unit, prices u and v", "Plan x, from supply p to demand q"
    for x, title in zip((0.02, 0.415, 0.695), titles, strict=True):
        card.paper.text(x, 0.93, title, size=9.5)
    card.paper.text(0.415, 0.035, "u + v ≤ g, with = on each road in use", size=8, color=style.QUIET)

    cost, small = card.plane("cost", [0.435, 0.19, 0.19, 0.59], "blank"), {"size": 8, "weight": "bold"}
    names, terms = np.empty((2, m, n), object)
    for (i, j), x in np.ndenumerate(t.plan):
        names[i, j] = f"p{i}", f"q{j}", f"x{i}-{j}"
        x, g, product = (style.number(value, 3) for value in (x, result.cost[i, j], x * result.cost[i, j]))
        terms[i, j] = "x{0} g{0} = {1} · {2} = {3}".format(style.subscript(10 * i + j + 11), x, g, product)
    cost.matrix(result.cost, p, q, max(result.cost.max(), 1e-9), names=names)
    for i, u in enumerate(result.u):
        cost.text(n - 0.4, i, f"u{style.subscript(i + 1)} {style.number(u)}", va="center", color=style.MASS, **small)
    for j, v in enumerate(result.v):
        words = f"v{style.subscript(j + 1)}\n{style.number(v)}"
        cost.text(j, m - 0.42, words, ha="center", va="top", color=style.LABEL, **small)

    # A histogram on each side of the plan: the mass as a bar, and a dark tick at the sum of the plan.
    plan = card.plane("plan", [0.78, 0.15, 0.17, 0.47], "blank")
    plan.matrix(t.plan, [""] * m, [""] * n, top, aspect="auto", names=names, terms=terms)
    left = card.plane("p", [0.695, 0.15, 0.075, 0.47], "blank", xlim=(1.3, 0), ylim=(m - 0.5, -0.5))
    for i, mass in enumerate(result.p):
        with left.link(f"p{i}"):
            left.rect(0, i - 0.31, mass, 0.62, fc=style.MASS)
        left.text(mass, i, f"{p[i]} {style.number(mass)}  ", ha="right", va="center", color=style.MASS, **small)
    above = card.plane("q", [0.78, 0.64, 0.17, 0.19], "blank", xlim=(-0.5, n - 0.5), ylim=(0, 1.3))
    for j, mass in enumerate(result.q):
        with above.link(f"q{j}"):
            above.rect(j - 0.31, 0, 0.62, mass, fc=style.LABEL)
        # Four and more columns are too narrow for a name beside its number.
        words = ("{} {}" if n < 4 else "{}\n{}").format(q[j], style.number(mass))
        # Above the tick, which a bar that is met whole has at its end.
        look = {"ha": "center", "va": "bottom", "linespacing": 1.0, "color": style.LABEL}
        above.text(j, mass + 0.07, words, **look, **small)
    left.points(t.plan.sum(1), range(m), color=style.BLACK, marker="|", ms=15, mew=2)
    above.points(range(n), t.plan.sum(0), color=style.BLACK, marker="_", ms=15, mew=2)

    _draw_flow(card, result, names)
    verdict, left_over = "x = 0: nothing moves, cost 0, and Eq. 2 is 0/0", result.p.sum() - t.flow
    if t.flow >= 1e-12:
        verdict = f"cost {t.cost:.4f}   flow {t.flow:.3f}   EMD {t.emd:.4f}"
        verdict += f"   {left_over:.3f} of p stays" if left_over > 1e-9 else ""
    card.paper.text(0.02, 0.035, verdict, size=9, weight="bold")
    card.paper.text(0.02, 0.87, result.scaled, size=8, color=style.QUIET)


def _draw_flow(card, result, names):
    """Earth: each supplier's pile, each consumer's hole, and what is on each road, so far on its way."""
    x, (m, n), top = result.transport.plan, result.cost.shape, max(result.p.max(), result.q.max(), 1e-9)
    plane = card.plane("flow", [0.02, 0.10, 0.36, 0.76], "blank", xlim=(-0.28, 1.28), ylim=(max(m, n) - 0.35, -0.65))
    roads, widths = np.array([[(0, i), (1, j)] for i in range(m) for j in range(n)], float), 16 * x.ravel() / top
    for road, width, linked in zip(roads, widths, names.ravel(), strict=True):
        with plane.link(linked[-1]):
            plane.segments([road], style.LINE, width, zorder=1)
    plane.flow(roads, x.ravel(), style.MASS)
    _arrow_heads(plane, roads[widths > 0], widths[widths > 0])
    gone, come = x.sum(1) * (result.way > 0), x.sum(0) * (result.way == 1)
    sides = ("p", 0, "right", style.MASS, result.p, result.p - gone), ("q", 1, "left", style.LABEL, result.q, come)
    for name, at, ha, ink, masses, there in sides:
        for k, mass in enumerate(masses):
            whole, earth = (_pile(plane, at, k, part / top, 1 - 2 * at) for part in (mass, there[k]))
            if at:
                earth += whole[2] - earth[2]  # a hole fills from below
            with plane.link(f"{name}{k}"):
                plane.polygons([earth], style.MASS, zorder=2)
                plane.polygons([whole], "none", ink, 1.8, zorder=2)
            look = {"ha": ha, "va": "center", "color": ink, "weight": "bold"}
            plane.text(1.4 * at - 0.2, k, f"{name}{style.subscript(k + 1)}", **look)
    if 0 < result.way < 1:
        places = roads[:, 0] + result.way * (roads[:, 1] - roads[:, 0])
        loads = [_pile(plane, *place, load / top) for place, load in zip(places, x.ravel(), strict=True)]
        plane.polygons(loads, style.MASS, style.PAPER, 0.8, zorder=3)
    for (i, j), load in np.ndenumerate(x):
        part = 0.27 + 0.3 * j / max(x.shape[1] - 1, 1)  # another for each consumer, as lines cross
        if load >= 0.005:
            look = {"size": 8, "weight": "bold", "ha": "center", "va": "center", "halo": True}
            plane.text(part, i + part * (j - i), style.number(load), **look)


def _pile(plane, x, y, mass, up=1):
    """The corners (3, 2) of a triangle on the ground at (x, y), or a hole in it, of an area that grows with `mass`."""
    across, along = np.abs(plane.at(1, 1) - plane.at(0, 0))
    high = 0.62 * np.sqrt(max(mass, 0))  # of the way from one to the next
    wide = 0.8 * high * along / across
    return np.array([[x - wide, y], [x + wide, y], [x, y - up * high]])


def _arrow_heads(plane, roads, widths):
    """A triangle on each road, three quarters of the way to its consumer; `widths` in points."""
    # Points of paper for a unit along either axis: a head has its shape on paper, whatever the axes are.
    unit = np.abs(plane.at(1, 1) - plane.at(0, 0)) / POINT
    start, end = roads[:, 0] * unit, roads[:, 1] * unit
    along = (end - start) / np.linalg.norm(end - start, axis=1, keepdims=True)
    across = along[:, ::-1] * (-1, 1)
    half = widths[:, None] / 2 + 3.5
    tip = start + 0.78 * (end - start) + half * along
    back = tip - 2 * half * along
    heads = np.stack([tip, back + half * across, back - half * across], 1) / unit
    plane.polygons(heads, ec=style.PAPER, lw=0.8, zorder=1.5)


def describe(result):
    """The plan in words, and the checks in numbers."""
    t = result.transport
    moves = [(t.plan[i, j], i, j) for i, j in np.argwhere(t.plan > 1e-9)]
    words = "Eq. 1 as printed: the cheapest plan carries nothing, so the cost is 0 whatever p and q are."
    if moves:
        mass, i, j = max(moves)
        words = f"{len(moves)} of {t.plan.size} roads carry {style.number(t.flow, 4)} in all. The largest carries "
        words += f"{style.number(mass)} from p{style.subscript(i + 1)} to q{style.subscript(j + 1)}."
        words += f" After {100 * result.way:.0f} % of the way, {result.way * t.cost:.3f} is paid." * (result.way > 0)
    p, q = result.p.sum(), result.q.sum()
    if max(abs(p - 1), abs(q - 1)) > EQUAL:
        words += f" p adds up to {style.number(p)} and q to {style.number(q)}, so they are not probabilities."
    numbers = {"cost": f"{t.cost:.6f}", "EMD (Eq. 2)": "0/0" if t.flow < 1e-12 else f"{t.emd:.6f}"}
    if result.printed:
        numbers["cost with the total flow"] = f"{result.whole:.6f}"
    elif result.label is None:
        words += " The closed form does not apply, because not all mass is wanted in one bin. The careless plan is "
        words += f"allowed, so its cost is an upper bound. It costs {result.careless - t.cost:.4f} more than the best."
        numbers["careless plan"] = f"{result.careless:.6f}"
    else:
        numbers[f"closed form p · g[:, {result.label + 1}]"] = f"{result.careless:.6f}"
        numbers["its gap"] = _gap(abs(result.careless - t.cost))
    numbers["dual bound Σpu + Σqv"] = f"{result.bound:.6f}"
    numbers["its gap, u + v over g"] = _gap(max(abs(t.cost - result.bound), result.undercut))
    if not result.printed:
        numbers |= {"gap to ot.emd2": _gap(result.pot_gap), "gap to SciPy's LP": _gap(abs(t.cost - result.whole))}
    off = ", ".join(f"{residual:.0e}" if residual else "0" for residual in result.residuals)
    return words, numbers | {"rows, columns, x ≥ 0 off by": off}


def _gap(gap):
    return "takes equal masses only" if np.isnan(gap) else f"{gap:.1e}" + (" ✓" if gap < 1e-9 else " ✗ too large")


def panel(
    p: Sequence[float] = (0.5, 0.3, 0.2), q: Sequence[float] = (0.2, 0.2, 0.6), cost: Sequence = COSTS,
    equal: bool = True, printed: bool = False, label: int = 0
) -> Panel:  # fmt: skip
    """The card with a slider for how far the earth has come, one for each mass, and a field for each cost; any m
    suppliers and n consumers up to 5.

    `equal` scales both masses to 1, `printed` leaves out the constraint that Eq. 1 does not print. A `label` from 1
    puts a mass of 1 into that bin of q, whose sliders are then not shown; 0 is none.
    """
    m, n = np.shape(cost)
    if (m, n) != (len(p), len(q)) or max(m, n) > 5:
        raise BadInput(f"cost: expected {len(p)} × {len(q)} numbers, at most 5 × 5, found {m} × {n}")
    masses = [
        {f"{side}{k}": slider(f"{side}{style.subscript(k)} (mass)", float(v), 0.0, 1.0, 0.05)
         for k, v in enumerate(values, 1)}
        for side, values in (("p", p), ("q", q))
    ]  # fmt: skip
    costs = {f"g{i + 1}{j + 1}": cell(f"g{style.subscript(10 * i + j + 11)}", cost[i][j], 0.0, 10.0)
             for i, j in np.ndindex(m, n)}  # fmt: skip
    kinds = [("as the sliders", 0), *((f"label {j + 1}", j + 1) for j in range(n))]
    switches = {
        "label": choice("q is", kinds, label),
        "equal": switch("scale p and q to a mass of 1 each", equal),
        "printed": switch("Eq. 1 as printed, without the total flow", printed),
    }
    way = {"way": slider("on the way (part)", 0.0, 0.0, 1.0, 0.05, plays=True)}
    rows = [way | masses[0], masses[1], switches, costs]
    controls, layout = {name: control for row in rows for name, control in row.items()}, list(map(list, rows))
    return Panel("transport", controls, lambda state: compute(state, m, n), draw, describe, layout=layout, first=2,
                 shows=lambda state: controls.keys() - (masses[1] if state["label"] else ()))  # fmt: skip
