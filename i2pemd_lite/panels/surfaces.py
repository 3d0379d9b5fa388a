"""Organs in 3D: the surfaces of the truth and of what runs say, beside each other, in millimetres.

Positions are (x, y, z): to the patient's Left, to Posterior, to Superior, in millimetres from the middle of the volume.
These are right-handed axes, so a picture is never a mirror image. `turn` is the angle of the view about the z axis:
0 is from the front, the patient's left on the right of the picture, and 90 is from the patient's left side.
"""

from functools import lru_cache
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes
from scipy import ndimage

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.segmentation import COLOURS, SHORT, percent
from i2pemd_lite.segmentation import ORGANS

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
        return {organ: surface(labels == k, voxel_sizes(case.affine)) for k, organ in enumerate(ORGANS, 1)}

    return lambda column, name: made(column, name, viewers[column].run and viewers[column].run.number)


def compute(viewers, meshes, name, turn):
    """The surfaces of a case, seen from an angle (degrees).

    columns: "truth" or a run -> organ -> its `Mesh`, or None where there is none;  doc: run -> percent
    box: (2, 3) mm, the lowest and the highest of all organs
    """
    columns = {column: meshes(column, name) for column in viewers}
    answers = {column: viewer.predicted(viewer.cases[name]) for column, viewer in viewers.items()}
    points = [mesh.vertices for organs in columns.values() for mesh in organs.values() if mesh is not None]
    points = np.concatenate(points or [np.array([(-100.0,) * 3, (100.0,) * 3])])
    doc = {column: answer.doc for column, answer in answers.items() if answer is not None}
    return SimpleNamespace(case=name, columns=columns, doc=doc, turn=turn, box=np.stack([points.min(0), points.max(0)]))


def axes_of(turn):
    """What points to the right of the picture, and away from the viewer, as unit vectors (x, y, z)."""
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    return np.array([cos, sin, 0.0]), np.array([-sin, cos, 0.0])


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
    return f"from {side}: the patient's left is {where}."


SIDE = 280  # pixels of a scene
GROUND, LETTERS = (style.THEMES["dark"][name] for name in ("paper", "ink"))  # as scans have it, in either theme


class Scenes:
    """The surfaces of truth and runs as one plotly figure: each can be turned by the mouse, and all turn with it; a
    click on an organ's name hides it.
    """

    def __init__(self, columns):
        from plotly import graph_objects as go
        from plotly.subplots import make_subplots

        side = min(SIDE, 840 // len(columns))  # 848 are left beside the side bar of a page of 1280
        kinds = [[{"type": "scene"}] * len(columns)]
        self.figure = go.FigureWidget(make_subplots(1, len(columns), specs=kinds, horizontal_spacing=0.01))
        self.scenes = {name: f"scene{j if j > 1 else ''}" for j, name in enumerate(columns, 1)}
        self.meshes = {}
        # The light goes with the viewer: x to the right, y upwards, z away.
        light = {"lightposition": {"x": -4e4, "y": 8e4, "z": -1e5},
                 "lighting": {"ambient": 0.4, "diffuse": 0.55, "specular": 0.05, "roughness": 0.9}}  # fmt: skip
        hidden = {axis: {"visible": False} for axis in ("xaxis", "yaxis", "zaxis")}
        for j, (name, scene) in enumerate(self.scenes.items()):
            corner = {"x": j / len(columns), "y": 1, "xanchor": "left", "yanchor": "bottom", "xref": "paper"}
            self.figure.add_annotation(showarrow=False, align="left", yref="paper", **corner)
            for k, organ in enumerate(ORGANS, 1):
                colour = "rgb({},{},{})".format(*(round(255 * c) for c in COLOURS[k]))
                look = {"color": colour, "legendgroup": organ, "showlegend": j == 1, "hoverinfo": "name"}
                self.figure.add_trace(go.Mesh3d(name=organ, scene=scene, **look, **light))
                self.meshes[name, organ] = self.figure.data[-1]
            self.figure.layout[scene].update(aspectmode="manual", **hidden)
            self.figure.layout[scene].on_change(self._look, "camera")
        self.figure.update_layout(
            width=max(side * len(columns), 832), height=side + 70, paper_bgcolor=GROUND,
            margin={"l": 4, "r": 4, "t": 40, "b": 30}, font={"color": LETTERS, "size": 12},
            legend={"orientation": "h", "x": 0, "y": 0, "yanchor": "top"},
        )  # fmt: skip
        self._turn, self._drawn, self._following = None, None, False

    def show(self, result):
        """Show surfaces; the view is left as it was turned by hand until `turn` changes."""
        meshes = [result.columns[name][organ] for name, organ in self.meshes]
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
        plate = {"bgcolor": GROUND, "opacity": 0.85, "showarrow": False, "font": {"size": 11, "color": LETTERS}}
        names = [{"text": SHORT[ORGANS.index(organ) + 1], **_xyz(mesh.vertices.mean(0)), **plate}
                 for organ, mesh in result.columns["truth"].items() if mesh is not None]  # fmt: skip
        with self.figure.batch_update():
            for trace, mesh in zip(self.meshes.values(), meshes, strict=True):
                mesh = mesh or Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), int))
                corners = dict(zip("ijk", mesh.faces.T.astype(np.int32), strict=True))
                trace.update(**dict(zip("xyz", mesh.vertices.T, strict=True)), **corners)
            for scene in self.scenes.values():
                self.figure.layout[scene].update(aspectratio=_xyz(1.3 * size / size.max()), **ends)
            self.figure.layout[self.scenes["truth"]].annotations = names
            for title, (name, organs) in zip(self.figure.layout.annotations, result.columns.items(), strict=True):
                doc = f"DOC {percent(result.doc[name])}" if name in result.doc else ""
                title.text = f"<b>{name}</b><br>{', '.join(filter(None, (doc, missing(organs)))) or '&nbsp;'}"

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
    words = [f"The slider shows the organs {seen_from(result.turn)}", "Volumes are in ml."]
    for name, organs in result.columns.items():
        sizes = [f"{organ} {volume(mesh) / 1000:.0f}" for organ, mesh in organs.items() if mesh is not None]
        words.append(f"{name}: {', '.join(filter(None, (', '.join(sizes), missing(organs))))}.")
    where = result.case.split("/")[-1]
    numbers = {f"DOC of {where} (%), {name}": percent(doc) for name, doc in result.doc.items()}
    return " ".join(words), numbers


def volume(mesh):
    """What a closed surface encloses, in mm³: Σ over triangles a · (b × c) / 6."""
    a, b, c = mesh.vertices[mesh.faces].astype(float).transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)
