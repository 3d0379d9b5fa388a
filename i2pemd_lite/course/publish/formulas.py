"""TeX to MathML, which every present browser draws by itself, without a script and without network."""

import re
import unicodedata

from i2pemd_lite.files import BadInput

TAG = re.compile(r"\\tag\{([^}]*)\}")
LETTER = re.compile(r'<mi mathvariant="(?!normal)([a-z-]+)">([A-Za-z])</mi>')


def mathml(tex, block=False):
    """A formula as MathML; a block stands on a line of its own, with the number that its `\\tag` gives at the right.

    Example
    -------
    >>> mathml("x^2")
    '<math ... display="inline"><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow></math>'
    >>> mathml(r"a = b \\tag{3}", block=True).endswith('<span class="number">(3)</span></div>')
    True
    >>> mathml(r"\\frobnicate x")
    Traceback (most recent call last):
    i2pemd_lite.files.BadInput: formula \\frobnicate x: expected TeX that MathML has, found \\frobnicate; ...
    """
    from latex2mathml.converter import convert

    number = TAG.search(tex)
    # It knows arrays, and not `aligned`, which is one of two columns that meet.
    plain = TAG.sub("", tex).replace(r"\begin{aligned}", r"\begin{array}{rl}").replace(r"\end{aligned}", r"\end{array}")
    try:
        math = convert(plain.strip(), display="block" if block else "inline")
    except Exception as error:  # its errors have no base of their own
        raise BadInput(f"formula {tex}: expected TeX that MathML has, found {error!r}; write it otherwise") from None
    math = LETTER.sub(lambda match: f"<mi>{_letter(*match.groups())}</mi>", math)
    if unknown := re.findall(r"\\[A-Za-z]+|(?<=>)&(?=<)", math):
        raise BadInput(f"formula {tex}: expected TeX that MathML has, found {unknown[0]}; write it otherwise")
    if not block:
        return math
    right = f'<span class="number">({number[1]})</span>' if number else ""
    return f'<div class="formula">{math}{right}</div>'


def _letter(style, letter):
    """A letter of another alphabet: browsers draw the character, and pass over the attribute `mathvariant`.

    Example
    -------
    >>> _letter("script", "L"), _letter("bold", "G"), _letter("no such", "a")
    ('ℒ', '𝐆', 'a')
    """
    size = "CAPITAL" if letter.isupper() else "SMALL"
    for name in (f"{style} {size} {letter}", f"MATHEMATICAL {style} {size} {letter}"):
        try:
            return unicodedata.lookup(name.upper())
        except KeyError:
            continue
    return letter
