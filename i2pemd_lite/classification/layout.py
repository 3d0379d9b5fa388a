"""Images as users have them on disk, by their names: a folder, a zip that stays closed, arrays. Each opens one."""

import io
import zipfile
import zlib
from pathlib import PurePosixPath

from i2pemd_lite.files import BadInput, Problems

CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
TRAINING, TEST = "ISIC2018_Task3_Training", "ISIC2018_Task3_Test"
MANIFEST = "synthetic.json"
"""The file that marks a folder as made by `synthetic.make`."""
SUFFIXES = {".jpg", ".jpeg", ".png"}


def decode(data, size=None):
    """A decoded `PIL.Image` from the bytes of a JPEG or PNG.

    size: a JPEG may be decoded, faster, at a fraction of its size that is still at least `size` px wide and high.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data), formats=["JPEG", "PNG"])
        if size:
            image.draft("RGB", (size, size))
        image.load()
    except UnidentifiedImageError:
        raise BadInput("expected a whole 8-bit JPEG or PNG, found another format") from None
    except (OSError, SyntaxError, ValueError, zlib.error, Image.DecompressionBombError) as error:
        raise BadInput(f"expected a whole 8-bit JPEG or PNG, found {error}") from None
    if image.mode[0] in "IF":
        raise BadInput(f"expected a whole 8-bit JPEG or PNG, found mode {image.mode}; save it with 8 bits a channel")
    return image


class Folder:
    """The JPEG and PNG files of a folder and its subfolders, by stem."""

    def __init__(self, place):
        self.place = place
        self.names = _by_stem(place, sorted(path for path in place.rglob("*") if path.is_file()))
        self.sources = tuple(self.names.values())

    def open(self, name, size=None):
        """The decoded image; `BadInput` that names the file when it cannot be decoded."""
        return _decoded(self.names[name], self.names[name].read_bytes, size)


class Zip:
    """The JPEG and PNG members of a zip, read in place, by stem."""

    def __init__(self, place):
        self.place = place
        self.archive, members = open_zip(place)
        self.members = {PurePosixPath(member): member for member in members}
        self.names = _by_stem(place, self.members)
        self.sources = (place,)

    def open(self, name, size=None):
        """The decoded image; `BadInput` that names archive and member when it cannot be decoded."""
        member = self.members[self.names[name]]
        return _decoded(f"{self.place}/{member}", lambda: self.archive.read(member), size)


class Arrays:
    """Images that already are arrays, (H, W, 3) or (H, W) uint8, by name."""

    def __init__(self, arrays):
        self.arrays = arrays

    def open(self, name, size=None):
        """The array as a `PIL.Image`."""
        from PIL import Image

        return Image.fromarray(self.arrays[name])


def _decoded(name, read, size):
    try:
        return decode(read(), size)
    except (OSError, BadInput, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise BadInput(f"{name}: {error}") from None


def _by_stem(place, paths):
    problems, names = Problems(str(place)), {}
    for path in paths:
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            if path.stem in names:
                problems.add(path, "one image of each name", f"also {names[path.stem]}")
            names[path.stem] = path
    problems.raise_if_any()
    return names


def open_zip(path):
    """(archive, member names) of a zip, which is never unpacked; a member whose path leaves its folder is refused."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path}: expected a whole zip, found {error}; download or copy it again") from None
    problems, members = Problems(str(path)), []
    for member in archive.namelist():
        path_inside = PurePosixPath(member.replace("\\", "/"))
        first = path_inside.parts[0] if path_inside.parts else ""
        if path_inside.is_absolute() or ".." in path_inside.parts or ":" in first:
            problems.add(member, "a path inside the archive", "one that leaves it", "take another archive")
        elif not member.endswith("/") and first != "__MACOSX":
            members.append(member)
    problems.raise_if_any()
    return archive, members
