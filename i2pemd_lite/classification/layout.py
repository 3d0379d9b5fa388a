"""Images as users have them on disk, by their names: a folder, a zip that stays closed, one file, or arrays.

What a file declares is checked before memory is taken for it, and whatever has a checksum is read up to it.
"""

import io
import math
import zipfile
from collections import Counter
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

import numpy as np

from i2pemd_lite.files import BadInput, Problems, expect_file, listed, of_system, parsing, unlike_file

CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
TRAINING, TEST = "ISIC2018_Task3_Training", "ISIC2018_Task3_Test"
MANIFEST = "synthetic.json"  # marks a folder as made by `synthetic.make`
SUFFIXES = {".jpg", ".jpeg", ".png"}
METHODS = {zipfile.ZIP_STORED: 2**16, zipfile.ZIP_DEFLATED: 2**16, zipfile.ZIP_BZIP2: 2**8, zipfile.ZIP_LZMA: 2**8}
"""How files are packed in a zip, and how many packed bytes are unpacked at once: bzip2 can make 46 MB of 45 bytes."""
MOST, PIXELS, ARRAYS = 2**28, 2**25, 3 * 2**29  # bytes of a file; pixels of an image; bytes of all arrays of an npz


class Pictures:
    """The JPEG and PNG files of a folder and its subfolders, or of a zip that stays closed, or one file, by stem.

    by_path: those of one stem in several folders are told apart by their paths, and are not refused.
    names: {stem: path, in the folder or in the zip}; unused: {path: why} of other files, but for hidden ones and those
    that systems leave; sources: the files on disk that hold the images.
    """

    def __init__(self, place: Path, by_path: bool = False):
        problems, self.place, self.names, self.unused = Problems(str(place)), place, {}, {}
        if not place.is_dir() and place.suffix.lower() not in {".zip", *SUFFIXES}:
            expect_file(place, "a folder, a zip or an image", "check the name")
            found = f"{place.suffix or 'another kind of file'}; save it as JPEG or PNG"
            raise BadInput(f"{place}: expected a folder, a .zip, or a JPEG or PNG image, found {found}")
        found = contents(place)
        stems = Counter(short.stem for short, _ in found if short.suffix.lower() in SUFFIXES)
        for short, path in found:
            odd = unlike_file(path) if isinstance(path, Path) else None
            if odd:
                self.unused[path] = f"not used, as {'a link to ' * path.is_symlink() * (odd == 'a folder')}{odd}"
            elif short.suffix.lower() not in SUFFIXES:
                self.unused[path] = "not used, as no JPEG or PNG"
            else:
                name = short.with_suffix("").as_posix() if by_path and stems[short.stem] > 1 else short.stem
                if name in self.names:
                    problems.add(path, "one image of each name", f"also {self.names[name]}", "rename one of them")
                self.names[name] = path
        problems.raise_if_any()
        self.sources = tuple(self.names.values()) if place.is_dir() else (place,)

    def expect_some(self) -> None:
        """Raise `BadInput` where there is no image, with what there is instead."""
        if not self.names:
            plain = [PurePath(str(path)).suffix or "no ending" for path, why in self.unused.items() if "JPEG" in why]
            found = [f"{n} of {kind}" for kind, n in Counter(plain).most_common(3)]
            found += {why.removeprefix("not used, as ") for why in self.unused.values() if "JPEG" not in why}
            do = "unpack it, or give it alone" if ".zip" in plain else "save the images as JPEG or PNG"
            do = do if plain or not found else "give the place of the images themselves"
            raise BadInput(f"{self.place}: expected JPEG or PNG images, found {', '.join(found) or 'none'}; {do}")

    def open(self, name: str, size: int | None = None, large: bool = True) -> Any:
        """The decoded `PIL.Image`, turned as its EXIF says; `BadInput` that names the file, or archive and member,
        where it is damaged, has more than 8 bits a channel or over 2^25 pixels. size: a JPEG may be decoded, faster, at
        a fraction of its size that is still at least `size` px wide and high. large: None is given in place of an image
        that takes much memory, unless this is so."""
        from PIL import Image, ImageOps, UnidentifiedImageError

        path, what = self.names[name], "a whole 8-bit JPEG or PNG"
        with parsing(path, what, "copy or download it again, or save it as JPEG or PNG"):
            if not large and _size(path) > 2**24:
                return None
            data = content(path, what, starts=(b"\xff\xd8", b"\x89PNG"))
            try:
                image = Image.open(io.BytesIO(data), formats=["JPEG", "PNG"])
                if image.format == "PNG":
                    image.verify()  # decoding does not look at every checksum
                    image = Image.open(io.BytesIO(data), formats=["PNG"])
                elif not data.endswith(b"\xff\xd9") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
                    raise ValueError("a truncated image, of which the end is missing")  # zeros there decode as grey
            except UnidentifiedImageError:
                raise ValueError("another format") from None
            except (Image.DecompressionBombError, Image.DecompressionBombWarning):
                image = None
            if image is None or math.prod(image.size) > PIXELS:
                found = f"{image.width} x {image.height}" if image else "far more"
                raise BadInput(f"{path}: expected at most {PIXELS:,} pixels, found {found}; make the image smaller")
            if size:
                image.draft("RGB", (size, size))
            if not large and math.prod(image.size) > 2**22:
                return None
            image.load()
        if image.mode[0] in "IF" or image.format == "PNG" and data[24] == 16:
            raise BadInput(f"{path}: expected {what}, found mode {image.mode} of 16 bits or more; save it with 8")
        try:
            ImageOps.exif_transpose(image, in_place=True)
        except MemoryError:
            raise
        except Exception:  # damaged EXIF says nothing about the pixels
            pass
        return image


class Arrays(dict):
    """Images that already are arrays, (H, W, 3) or (H, W) uint8, by name."""

    def open(self, name: str, size: int | None = None, large: bool = True) -> Any:
        """The array as a `PIL.Image`."""
        from PIL import Image

        return Image.fromarray(self[name])


def _size(path):
    """Bytes of a file, or of a member of a zip as its directory says."""
    return path.stat().st_size if isinstance(path, Path) else path.root.getinfo(path.at).file_size


def content(path, what, most=MOST, starts=b""):
    """The bytes of a file, or of a member of a zip, read to its checksum; `BadInput` where it has more than `most`.
    Raises ValueError where it is empty, or does not begin with any of `starts`."""
    if (size := _size(path)) > most:
        found = f"{size / 2**20:.0f} MiB; leave it out, or make it smaller"
        raise BadInput(f"{path}: expected {what} of at most {most / 2**20:g} MiB, found {found}")
    parts, step = [], 0 if isinstance(path, Path) else METHODS[path.root.getinfo(path.at).compress_type]
    with path.open("rb") as file:
        file.MIN_READ_SIZE = step
        while part := file.read(step or size):
            if not parts and part.startswith(b"version https://git-lfs"):
                raise BadInput(f"{path}: expected {what}, found a pointer of Git LFS; get the file by git lfs pull")
            if not parts and not part.startswith(starts):
                raise ValueError("another format")
            parts.append(part)
    if sum(map(len, parts)) != size:
        raise ValueError(f"other than the {size} bytes that it should have")
    if not size:
        raise ValueError("an empty file")
    return b"".join(parts)


def contents(place):
    """[(path in it, path)] of all files of a folder and its subfolders, or of a zip, or of the file `place` alone, but
    for hidden ones and those that systems leave; of links, pipes, devices, and folders that are named like an image."""
    if place.is_dir():
        paths = [path for path in sorted(place.rglob("*"))
                 if not path.is_dir() or path.is_symlink() or path.suffix.lower() in SUFFIXES]  # fmt: skip
        found = [(path.relative_to(place), path) for path in paths]
    else:
        found = zip_files(place) if place.suffix.lower() == ".zip" else [(PurePath(place.name), place)]
    return [(short, path) for short, path in found if not of_system(short)]


def zip_files(path):
    """The files in a zip, which is never unpacked: [(path in it, `zipfile.Path`)]. Refused are members whose path
    leaves it, which have a password, or are packed in a way that Python cannot unpack."""
    with parsing(path, "a whole zip"):
        archive = zipfile.ZipFile(path)
    problems, paths = Problems(str(path)), []
    for member in archive.infolist():
        inside = PureWindowsPath(member.filename)  # of which both \ and / part the names
        where, do = f"{path}/{inside.as_posix()}", "unpack it, and zip it again"
        if inside.anchor or ".." in inside.parts:
            problems.add(member.filename, "a path inside the archive", "one that leaves it", "take another archive")
        elif member.flag_bits & 1:
            problems.add(where, "a zip without a password", "one", do)
        elif member.compress_type not in METHODS:
            found = zipfile.compressor_names.get(member.compress_type, "unknown")
            problems.add(where, "a zip packed by deflate", f"method {member.compress_type}, {found}", do)
        elif not member.filename.endswith(("/", "\\")):
            paths.append((inside, zipfile.Path(archive, member.filename)))
    problems.raise_if_any()
    return paths


def npz_arrays(path, names, what):
    """({name: array}, other names) of an npz file of plain arrays, which declare no more than the file holds."""
    arrays, taken = {}, 0
    with parsing(path, what), zipfile.ZipFile(path) as archive:
        members = [member.removesuffix(".npy") for member in archive.namelist()]
        if twice := [name for name, n in Counter(members).items() if n > 1]:
            raise ValueError(f"{listed(twice)} twice")
        for name in names:
            member = archive.getinfo(f"{name}.npy")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{name} packed as numpy packs nothing")  # some methods take any memory for a read
            with archive.open(member) as file:
                old = np.lib.format.read_magic(file) == (1, 0)
                header = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
                shape, _, dtype = header(file)
                size = math.prod(shape) * dtype.itemsize
                if dtype.hasobject or size != member.file_size - file.tell():
                    raise ValueError(f"{name} declared as {shape} {dtype} in {member.file_size} bytes")
            if (taken := taken + size) > ARRAYS:
                raise ValueError(f"over {ARRAYS / 2**30:g} GiB")
            with archive.open(member) as file:
                arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays, [name for name in members if name not in arrays]
