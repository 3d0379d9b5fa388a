"""Images as users have them on disk, by their names: a folder, a zip that stays closed, or arrays."""

import io
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from i2pemd_lite.files import BadInput, Problems

CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
TRAINING, TEST = "ISIC2018_Task3_Training", "ISIC2018_Task3_Test"
MANIFEST = "synthetic.json"  # marks a folder as made by `synthetic.make`
SUFFIXES = {".jpg", ".jpeg", ".png"}


def decode(data, size=None):
    """A decoded `PIL.Image` from the bytes of a JPEG or PNG. size: a JPEG may be decoded, faster, at a fraction of its
    size that is still at least `size` px wide and high."""
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
        """The decoded image; `BadInput` that names the file, or archive and member, when it cannot be decoded."""
        try:
            return decode(self.names[name].read_bytes(), size)
        except (OSError, BadInput, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
            raise BadInput(f"{self.names[name]}: {error}") from None


class Arrays(dict):
    """Images that already are arrays, (H, W, 3) or (H, W) uint8, by name."""

    def open(self, name, size=None):
        """The array as a `PIL.Image`."""
        from PIL import Image

        return Image.fromarray(self[name])


def zip_files(path):
    """The files in a zip, which is never unpacked, as paths; a member whose path leaves its folder is refused."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path}: expected a whole zip, found {error}; download or copy it again") from None
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
