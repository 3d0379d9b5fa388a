"""A table of words as HTML in the page's own colours, so that it reads in a light and in a dark theme."""

from html import escape

OWN = "text-align:left;vertical-align:top;padding:3px 8px;line-height:1.35"


def html(names, rows, caption):
    """`rows` of cells that are HTML already, under `names`, with a caption in plain words.

    Example
    -------
    >>> html(["a"], [["<b>1</b>"]], "1 < 2").count("<b>1</b>")
    1
    """
    head = "".join(f'<th scope="col" style="{OWN}">{escape(name)}</th>' for name in names)
    body = "".join("<tr>" + "".join(f'<td style="{OWN}">{cell}</td>' for cell in row) + "</tr>" for row in rows)
    return (
        '<div style="overflow-x:auto;color:inherit"><table style="font-size:13px;color:inherit">'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
