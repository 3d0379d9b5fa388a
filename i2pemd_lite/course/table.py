"""Small tables of words: lines for a terminal, HTML for a notebook."""


def lines(rows):
    """Rows of words as lines, each column as wide as its widest word.

    Example
    -------
    >>> lines([("a", "bc", ""), ("def", "g", "h")])
    ['a    bc', 'def  g   h']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def html(heads, rows, names=0):
    """A table of cells that are HTML already, of which the column `names` names the rows; without `heads` no head row.

    Example
    -------
    >>> html([], [["a", "<b>1</b>"]])
    '<table><tbody><tr><th scope="row" style="text-align:left;font-weight:inherit">a</th><td ...><b>1</b></td></tr>...'
    """
    left = 'style="text-align:left"'
    head = "".join(f'<th scope="col" {left}>{head}</th>' for head in heads)
    name = 'scope="row" style="text-align:left;font-weight:inherit"'
    body = ""
    for row in rows:
        cells = (f"<th {name}>{cell}</th>" if n == names else f"<td {left}>{cell}</td>" for n, cell in enumerate(row))
        body += f"<tr>{''.join(cells)}</tr>"
    return f"<table>{head and f'<thead><tr>{head}</tr></thead>'}<tbody>{body}</tbody></table>"
