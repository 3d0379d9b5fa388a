"""Images as users have them on disk, by their names: a folder, a zip that stays closed, or arrays."""

import io
import zipfile
from pathlib import Path, PurePosixPath

from i2pemd_lite.files import BadInput, Problems, parsing

CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
TRAINING, TEST = "ISIC2018_Task3_Training", "ISIC2018_Task3_Test"
MANIFEST = "synthetic.json"  # marks a folder as made by `synthetic.make`
SUFFIXES = {".jpg", ".jpeg", ".png"}


class Pictures:
    """The JPEG and PNG files of a folder and its subfolders, or of a zip that stays closed, by stem. names: {stem:
    path, in the folder or in the zip}; sources: the files on disk that hold them."""

    def __init__(self, place):
        problems, self.place, self.names = Problems(str(place)), place, {}
        inside = sorted(filter(Path.is_file, place.rglob("*"))) if place.is_dir() else zip_files(place)
        for path in inside:
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                if path.stem in self.names:
                    problems.add(path, "one image of each name", f"also {self.names[path.stem]}")
                self.names[path.stem] = path
        problems.raise_if_any()
        self.sources = tuple(self.names.values()) if place.is_dir() else (place,)

    def open(self, name, size=None):
        """The decoded `PIL.Image`; `BadInput` that names the file, or archive and member, where it is damaged. size: a
        JPEG may be decoded, faster, at a fraction of its size that is still at least `size` px wide and high."""
        from PIL import Image, UnidentifiedImageError

        path, what = self.names[name], "a whole 8-bit JPEG or PNG"
        with parsing(path, what):
            try:
                image = Image.open(io.BytesIO(path.read_bytes()), formats=["JPEG", "PNG"])
            except UnidentifiedImageError:
                raise ValueError("another format") from None
            if size:
                image.draft("RGB", (size, size))
            image.load()
        if image.mode[0] in "IF":
            raise BadInput(f"{path}: expected {what}, found mode {image.mode}; save it with 8 bits a channel")
        return image


class Arrays(dict):
    """Images that already are arrays, (H, W, 3) or (H, W) uint8, by name."""

    def open(self, name, size=None):
        """The array as a `PIL.Image`."""
        from PIL import Image

        return Image.fromarray(self[name])


def zip_files(path):
    """The files in a zip, which is never unpacked, as paths; a member whose path leaves its folder is refused."""
    with parsing(path, "a whole zip"):
        archive = zipfile.ZipFile(path)
    problems, paths = Problems(str(path)), []
    for member in dict.fromkeys(archive.namelist()):
        inside = PurePosixPath(member.replace("\\", "/"))
        first = inside.parts[0] if inside.parts else ""
        if inside.is_absolute() or ".." in inside.parts or ":" in first:
            problems.add(member, "a path inside the archive", "one that leaves it", "take another archive")
        elif not member.endswith("/") and first != "__MACOSX":
            paths.append(zipfile.Path(archive, member))
    problems.raise_if_any()
    return paths
