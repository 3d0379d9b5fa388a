"""A code for the images of a compact file, which Python alone decodes.

An image is coded as JPEG codes it, in blocks of four times the side: a cosine transform of YCbCr whose coefficients are
rounded, the more coarsely the higher their frequency. One image at a time stays in the processor's cache. All numbers
are whole and below 2^53 in float64, so that every machine decodes the same pixels.
"""

import numpy as np

B = 32
U = np.arange(B)
BASIS = np.rint(4096 * np.cos(np.pi / B * np.outer(U, U + 0.5)) * np.where(U, 0.25, np.sqrt(0.03125))[:, None])
TO_YCC = np.array([[306, 601, 117], [-173, -339, 512], [512, -429, -83]], np.float64)
TO_RGB = np.array([[1024, 0, 1436], [1024, -352, -731], [1024, 1815, 0]], np.float64)
STEPS = 2 ** (np.arange(113) / 16 - 2)
"""To what the lowest coefficients of Y are rounded, from fine to coarse; 32 is one grey level of a whole block."""


def table(step):
    """(3, 1, B, 1, B): to what each coefficient is rounded, in parts of 16."""
    table = 16 * step * (1 + 8 * (U[:, None] ** 2 + U**2) / B**2) * np.array([1, 1.5, 1.5])[:, None, None]
    return np.rint(table)[:, None, :, None]


def transformed(image):
    """(3, S, S) uint8 -> (3, g, B, g, B) coefficients, times 2^34; g blocks make a side."""
    more = -image.shape[-1] % B
    x = np.pad(image, ((0, 0), (0, more), (0, more)), "edge").astype(np.float64) - 128
    g = x.shape[-1] // B
    x = BASIS @ (TO_YCC @ x.reshape(3, -1)).reshape(3, g, B, g * B)
    return (x.reshape(-1, B) @ BASIS.T).reshape(3, g, B, g, B)


def rounded(x, step):
    """Coefficients as whole numbers of what `table` says; rounded up above 0.6, for zeros take the least room."""
    x = x / (table(step) * 2.0**30)
    return np.trunc(x + np.copysign(0.4, x)).astype(np.int16)


def pixels(levels, step, side):
    """The (3, S, S) uint8 image of `rounded` coefficients."""
    g = levels.shape[1]
    x = ((levels * table(step)).reshape(-1, B) @ BASIS).reshape(3, g, B, g * B)
    x = np.rint(BASIS.T @ x / 2.0**24).reshape(3, -1)
    x = np.rint(TO_RGB @ x / 2.0**14).reshape(3, g * B, -1)[:, :side, :side]
    return np.clip(x + 128, 0, 255).astype(np.uint8)


def coded(levels):
    """(n, 3, g, B, g, B) levels as bytes: by frequency, how many zeros lie before each that is none, then all these."""
    levels = levels.transpose(1, 3, 5, 0, 2, 4).ravel()
    places = np.flatnonzero(levels)
    zeros, values = np.diff(places, prepend=-1) - 1, levels[places].astype(int)
    more, rest = np.divmod(np.concatenate([zeros, 2 * np.abs(values) - (values < 0)]), 255)
    coded = np.full(len(rest) + more.sum(), 255, np.uint8)  # 255 says that the number goes on
    coded[np.cumsum(more + 1) - 1] = rest
    return coded


def decoded(coded, n, g):
    """The levels that `coded` was given."""
    ends = np.flatnonzero(coded != 255)
    zeros, values = (255 * (np.diff(ends, prepend=-1) - 1) + coded[ends]).reshape(2, -1)
    levels = np.zeros(n * 3 * (g * B) ** 2, np.int16)
    levels[np.cumsum(zeros + 1) - 1] = np.where(values % 2, -(values + 1) // 2, values // 2)
    return levels.reshape(3, B, B, n, g, g).transpose(3, 0, 4, 1, 5, 2)
