"""Organs in 3D: the surfaces of the truth and of what one to four runs say, beside each other, in millimetres.

Positions are (x, y, z): to the patient's Left, to Posterior, to Superior, in millimetres from the middle of the volume.
These are right-handed axes, so a picture is never a mirror image. `turn` is the angle of the view about the z axis:
0 is from the front, the patient's left on the right of the picture, and 90 is from the patient's left side.
"""

from functools import lru_cache
from types import SimpleNamespace
from typing import NamedTuple

import ipywidgets as widgets
import numpy as np
from scipy import ndimage

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider, switch
from i2pemd_lite.panels.segmentation import COLOURS, PLATE, SHORT, case_viewers, millimetres, percent
from i2pemd_lite.segmentation import MODALITIES, ORGANS

DETAIL = 4.0  # mm between the points of a surface, where the voxels are smaller
SMOOTH = 3.0  # mm, deviation of the Gaussian that rounds the steps between slices


class Mesh(NamedTuple):
    """A closed surface of triangles, which wind anticlockwise as seen from outside."""

    vertices: np.ndarray  # (n, 3) mm
    faces: np.ndarray  # (m, 3) indices of vertices


def surface(mask, spacing, detail=DETAIL, smooth=SMOOTH):
    """The surface of an organ by marching cubes, closed also where it touches the border; None if it is empty.

    mask : (D, H, W) bool, D to Superior, H to Posterior, W to Left;  spacing : mm of a voxel as (z, y, x)
    detail : mm between the points of the surface, at least; axes with larger voxels keep theirs
    smooth : mm, deviation of a Gaussian over the mask before; 0 shows the mask as it is

    Example
    -------
    >>> mesh = surface(np.ones((2, 6, 9), bool), (8.0, 3.0, 2.0), detail=2.0, smooth=0)
    >>> np.ptp(mesh.vertices, axis=0).tolist()  # 9 × 2, 6 × 3 and 2 × 8 mm
    [18.0, 18.0, 16.0]
    """
    from skimage.measure import marching_cubes

    mask, spacing = np.asarray(mask, dtype=bool), np.asarray(spacing, dtype=float)
    if mask.ndim != 3 or spacing.shape != (3,) or not (spacing > 0).all():
        expected = "(D, H, W) and three millimetres above 0"
        raise BadInput(f"mask, spacing: expected {expected}, found {mask.shape} and {spacing}")
    if not mask.any():
        return None
    inside = ndimage.find_objects(mask.astype(np.uint8))[0]
    step = np.maximum(1, np.round(detail / spacing)).astype(int)
    margin = step * np.ceil(2 * smooth / spacing / step + 1).astype(int)
    values = np.pad(mask[inside].astype(np.float32), [(n, n + s) for n, s in zip(margin, step, strict=True)])
    values = ndimage.gaussian_filter(values, smooth / spacing)[tuple(slice(None, None, s) for s in step)]
    # What is too small for the Gaussian keeps a surface, at half of what is left of it.
    level = min(0.5, values.max() / 2)
    points, faces, _, _ = marching_cubes(values, level, spacing=tuple(step * spacing))
    first = np.array([part.start for part in inside]) - margin
    points = points + (first - (np.array(mask.shape) - 1) / 2) * spacing
    # Marching cubes winds them anticlockwise in (x, y, z), which mirrors its own (z, y, x).
    return Mesh(points[:, ::-1].astype(np.float32), faces)


def shapes(viewers):
    """What gives the meshes of a column ("truth" or a run) and a case by organ, each made once for a state of a run."""

    @lru_cache(64)
    def made(column, name, _number):
        viewer = viewers[column]
        case, answer = viewer.cases[name], viewer.predicted(viewer.cases[name])
        labels = case.label.numpy() if answer is None else answer.labels
        return {organ: surface(labels == k, millimetres(case)) for k, organ in enumerate(ORGANS, 1)}

    return lambda column, name: made(column, name, viewers[column].run and viewers[column].run.number)


def compute(viewers, meshes, state):
    """The surfaces of the state: case (its name), turn (degrees), and for each organ whether it is shown.

    columns: "truth" or a run -> organ -> its `Mesh`, or None where there is none;  box: (2, 3) mm, the lowest and the
    highest of all organs, chosen or not
    """
    name, columns, doc, points = state["case"], {}, {}, []
    for column, viewer in viewers.items():
        organs, answer = meshes(column, name), viewer.predicted(viewer.cases[name])
        points += [mesh.vertices for mesh in organs.values() if mesh is not None]
        columns[column] = {organ: mesh for organ, mesh in organs.items() if state[organ]}
        if answer is not None:
            doc[column] = answer.doc
    points = np.concatenate(points or [np.array([(-100.0,) * 3, (100.0,) * 3])])
    box = np.stack([points.min(0), points.max(0)])
    return SimpleNamespace(case=name, columns=columns, doc=doc, turn=state["turn"], box=box)


def axes_of(turn):
    """What points to the right of the picture, and away from the viewer, as unit vectors (x, y, z)."""
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    return np.array([cos, sin, 0.0]), np.array([-sin, cos, 0.0])


def facing(organs, turn):
    """The triangles that face the viewer, the farthest first: corners (m, 3, 2) in mm, and colours (m, 3)."""
    right, away = axes_of(turn)
    light = -0.75 * away - 0.35 * right + np.array([0.0, 0.0, 0.55])
    there = {organ: mesh for organ, mesh in organs.items() if mesh is not None}
    corners = np.concatenate([np.zeros((0, 3, 3)), *(mesh.vertices[mesh.faces] for mesh in there.values())])
    colours = np.repeat([COLOURS[ORGANS.index(organ) + 1] for organ in there] or np.zeros((0, 3)),
                        [len(mesh.faces) for mesh in there.values()], axis=0)  # fmt: skip
    a, b, c = corners.transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    colours = colours * (0.4 + 0.6 * np.clip(normals @ (light / np.linalg.norm(light)), 0, 1))[:, None]
    front = np.flatnonzero(normals @ away < 0)
    front = front[np.argsort(-(corners[front] @ away).mean(1))]
    return np.stack([corners[front] @ right, corners[front][..., 2]], -1), colours[front]


def missing(organs):
    """What is said of organs that a column has not, such as "no spleen"."""
    none = [organ for organ, mesh in organs.items() if mesh is None]
    return f"no {', no '.join(none)}" if none else ""


def seen_from(turn):
    """The side that the organs are seen from, and where the patient's left is."""
    side = ("the front", "the patient's left", "behind", "the patient's right")[round(turn / 90) % 4]
    right, away = axes_of(turn)
    where = "nearest" if away[0] < 0 else "farthest"
    if abs(right[0]) > 1e-9:
        where = "on the right" if right[0] > 0 else "on the left"
    return f"Seen from {side}: the patient's left is {where}."


SIDE, HEAD, FOOT = 2.8, 0.3, 0.5  # inches: the width of a scene, what is above it, and below
FLAT = 0.8  # height of a scene over its width
PLAIN = {"edgecolors": "none", "antialiaseds": False}  # the background shines through smooth edges


def size(columns):
    """Inches of a scene's side, and of the figure that holds a row of them."""
    side = min(SIDE, 8.4 / columns)  # 848 pixels are left for a figure beside the side bar of a page of 1280
    return side, (max(0.1 + columns * side, 6.0), HEAD + FLAT * side + FOOT)


def draw(card, result):
    """The truth and the runs from one side, all to one scale."""
    side, (width, height) = size(len(result.columns))
    right, _ = axes_of(result.turn)
    low, high = result.box
    # Half the width, in mm, that holds the organs from every side, with room for a scale below.
    half = max(1.05 * np.hypot(*np.abs(result.box[:, :2]).max(0)), (high[2] - low[2] + 45) / 2 / FLAT, 110)
    middle = (low[2] - 25 + high[2]) / 2
    ends = {"xlim": (-half, half), "ylim": (middle - FLAT * half, middle + FLAT * half)}
    for j, (name, organs) in enumerate(result.columns.items()):
        left = (0.1 + j * side) / width
        box = [left, FOOT / height, 0.97 * side / width, FLAT * side / height]
        plane = card.plane(name, box, style.blank, aspect="equal", **ends)
        corners, colours = facing(organs, result.turn)
        plane.polygons(corners, facecolors=colours, **PLAIN)
        card.paper.text(left, 1 - 0.22 / height, name, size=9.5, weight="bold", still=True)
        doc = f"DOC {percent(result.doc[name])}" if name in result.doc else ""
        note = ", ".join(filter(None, (doc, missing(organs))))
        card.paper.text(left, (FOOT - 0.04) / height, note, size=8.5, va="top")
    truth = card.planes["truth"]
    for organ, mesh in result.columns["truth"].items():
        if mesh is not None:
            x, z = mesh.vertices.mean(0) @ right, mesh.vertices[:, 2].mean()
            truth.text(x, z, SHORT[ORGANS.index(organ) + 1], size=8, ha="center", va="center", bbox=PLATE)
    x, z = half - 110, middle - 0.95 * FLAT * half
    truth.line([x, x + 100], [z, z], color=style.INK, lw=1.5)
    truth.text(x + 50, z + 2, "100 mm", size=8, ha="center", va="bottom")
    case = result.case.replace("/", " ").replace("ct", "CT").replace("mr", "MR")
    card.paper.text(0.6 / width, 1 - 0.22 / height, case, size=8.5)
    card.paper.text(0.1 / width, 0.08 / height, seen_from(result.turn), size=8.5, color=style.QUIET)


class Scenes:
    """The same scenes as one plotly figure, each of which can be turned; all turn with it."""

    def __init__(self, columns):
        from plotly import graph_objects as go
        from plotly.subplots import make_subplots

        side = size(len(columns))[0]
        kinds = [[{"type": "scene"}] * len(columns)]
        self.figure = go.FigureWidget(make_subplots(1, len(columns), specs=kinds, horizontal_spacing=0.01))
        self.scenes = {name: f"scene{j if j > 1 else ''}" for j, name in enumerate(columns, 1)}
        self.meshes = {}
        # The light goes with the viewer: x to the right, y upwards, z away.
        light = {"lightposition": {"x": -4e4, "y": 8e4, "z": -1e5},
                 "lighting": {"ambient": 0.4, "diffuse": 0.55, "specular": 0.05, "roughness": 0.9}}  # fmt: skip
        hidden = {axis: {"visible": False} for axis in ("xaxis", "yaxis", "zaxis")}
        for j, (name, scene) in enumerate(self.scenes.items()):
            corner = {"x": j / len(columns), "y": 1, "xanchor": "left", "yanchor": "top", "xref": "paper"}
            self.figure.add_annotation(text=f"<b>{name}</b>", showarrow=False, yref="paper", **corner)
            for k, organ in enumerate(ORGANS, 1):
                colour = "rgb({},{},{})".format(*(round(255 * c) for c in COLOURS[k]))
                self.figure.add_trace(go.Mesh3d(name=organ, color=colour, scene=scene, hoverinfo="name", **light))
                self.meshes[name, organ] = self.figure.data[-1]
            self.figure.layout[scene].update(aspectmode="manual", **hidden)
            self.figure.layout[scene].on_change(self._look, "camera")
        self.figure.update_layout(
            width=round(100 * side * len(columns)), height=round(100 * side) + 40, paper_bgcolor=style.CARD,
            margin={"l": 0, "r": 0, "t": 30, "b": 0}, font={"color": style.INK, "size": 12},
        )  # fmt: skip
        self._turn, self._drawn, self._following = None, None, False

    def show(self, result):
        """Show surfaces; the view is left as it was turned by hand until `turn` changes."""
        meshes = [result.columns[name].get(organ) for name, organ in self.meshes]
        # A turn of the same organs moves the camera alone: plotly builds scenes anew that are given anything else.
        if self._drawn is None or any(new is not old for new, old in zip(meshes, self._drawn, strict=True)):
            self._fill(result, meshes)
            self._drawn = meshes
        if result.turn != self._turn:
            _, away = axes_of(result.turn)
            eye, up = _xyz(-2.0 * away + (0, 0, 0.3)), {"x": 0, "y": 0, "z": 1}
            self._look(None, {"eye": eye, "up": up, "projection": {"type": "orthographic"}})
            self._turn = result.turn

    def _fill(self, result, meshes):
        """The surfaces, all scenes to one scale, and the names of the organs at the truth's."""
        size = result.box[1] - result.box[0]
        ends = {f"{axis}axis": {"range": range} for axis, range in zip("xyz", result.box.T.tolist(), strict=True)}
        paper = {"bgcolor": style.CARD, "opacity": 0.85, "showarrow": False, "font": {"size": 10, "color": style.INK}}
        names = [{"text": SHORT[ORGANS.index(organ) + 1], **_xyz(mesh.vertices.mean(0)), **paper}
                 for organ, mesh in result.columns["truth"].items() if mesh is not None]  # fmt: skip
        with self.figure.batch_update():
            for trace, mesh in zip(self.meshes.values(), meshes, strict=True):
                mesh = mesh or Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), int))
                corners = dict(zip("ijk", mesh.faces.T.astype(np.int32), strict=True))
                trace.update(**dict(zip("xyz", mesh.vertices.T, strict=True)), **corners)
            for scene in self.scenes.values():
                self.figure.layout[scene].update(aspectratio=_xyz(1.3 * size / size.max()), **ends)
            self.figure.layout[self.scenes["truth"]].annotations = names

    def _look(self, turned, camera):
        """Give all scenes one camera, except the one that was turned by it; what follows from that is no turn."""
        if self._following:
            return
        self._following = True
        try:
            with self.figure.batch_update():
                for scene in map(self.figure.layout.__getitem__, self.scenes.values()):
                    if scene is not turned:
                        scene.camera = camera
        finally:
            self._following = False


def _xyz(values):
    return dict(zip("xyz", map(float, values), strict=True))


def describe(result):
    """Which organs are there, how large, and from where they are seen."""
    # Not where it is seen from now: the mouse may have turned it since.
    words = [f"The slider shows it {seen_from(result.turn).removeprefix('Seen ')}"]
    for name, organs in result.columns.items():
        sizes = [f"{organ} {volume(mesh) / 1000:.0f}" for organ, mesh in organs.items() if mesh is not None]
        words.append(f"{name}: {', '.join(filter(None, (', '.join(sizes), missing(organs)))) or 'nothing chosen'}.")
    where = result.case.split("/")[-1]
    numbers = {f"DOC of {where} (%), {name}": percent(doc) for name, doc in result.doc.items()}
    return " ".join([words[0], "Volumes in ml.", *words[1:]]), numbers


def volume(mesh):
    """What a closed surface encloses, in mm³: Σ over triangles a · (b × c) / 6."""
    a, b, c = mesh.vertices[mesh.faces].astype(float).transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)


class Organs(Panel):
    """The panel of `surfaces`, with a button that puts `Scenes`, its `live`, in the picture's place.

    Not before the click: a live figure brings 5 MB along and keeps a page busy for seconds, while an anywidget of
    whatever cell comes next gives up after two and never changes again.
    """

    def __init__(self, viewers, controls, button):
        self.live, meshes = None, shapes(viewers)
        super().__init__("organs in 3D", controls, lambda state: compute(viewers, meshes, state), self._paint, describe,
                         [["case", "turn"], list(ORGANS)], size(len(viewers))[1])  # fmt: skip
        if button:
            self._button = widgets.Button(description="Turn it by the mouse", layout={"width": "max-content"})
            self._button.on_click(lambda _: self.enliven())
            at = self.children.index(self.image)
            self.children = [*self.children[:at], self._button, *self.children[at:]]

    def _paint(self, card, result):
        draw(card, result)
        if self.live is not None:
            self.live.show(result)

    def enliven(self):
        """Put the live figure in the place of the button and the still picture, once."""
        if self.live is not None:  # a second click, while the page was busy with the first
            return
        words, self._button.disabled, self._button.description = self._button.description, True, "Loading …"
        try:
            self.live = Scenes(list(self.result.columns))
        except ImportError as error:
            self._button.disabled, self._button.description = False, words
            return self._report(error)
        self.live.show(self.result)
        places = [child for child in self.children if child is not self._button]
        self.children = [self.live.figure if child is self.image else child for child in places]


def surfaces(case=0, organs=ORGANS, live=True, turn=0, **runs):
    """The organs of one case in 3D: the truth, and what one to four runs on the same data say.

    Parameters
    ----------
    case : the name of a case, or its place in the list, in which those held back from all runs come first
    organs : which are shown at the beginning
    live : with a button for a figure that the mouse turns; each brings 5 MB along
    turn : degrees of the first view
    runs : by name, as in `surfaces("mr/image_3", joint=joint, ours=ours)`
    """
    viewers = case_viewers(runs)
    truth = viewers["truth"]
    cases = [(f"{m.upper()} {text}", name) for m in MODALITIES for text, name in truth.names(m)]
    cases.sort(key=lambda option: option[1] not in truth.held_back)
    names = [name for _, name in cases]
    if case not in names and not (isinstance(case, int) and 0 <= case < len(names)):
        raise BadInput(f"case: expected one of {', '.join(names)}, or 0 to {len(names) - 1}, found {case!r}")
    if unknown := set(organs) - set(ORGANS):
        raise BadInput(f"organs: expected some of {', '.join(ORGANS)}, found {', '.join(sorted(unknown))}")
    controls = {
        "case": choice("case", cases, case if case in names else names[case], "300px"),
        # All triangles of all organs are drawn anew, which takes longer than a frame may.
        "turn": slider("turn (°)", turn, -180, 180, 5, width="420px", release=True),
        **{organ: switch(organ, organ in organs, "130px") for organ in ORGANS},
    }
    return Organs(viewers, controls, live)
