"""Several cards on one figure, of which one is seen: each is built when it is first asked for."""

from i2pemd_lite.panels.engine import style


def card(cards, key, figure, build, *what):
    """The card of `key`, made by `build(figure, *what)` where `cards` has none yet; the `.axes` of all others hide."""
    if key not in cards:
        cards[key] = style.styled(build, figure, *what)
    for name, each in cards.items():
        for axes in each.axes:
            if axes.get_visible() != (name == key):  # in some versions of matplotlib setting it makes the figure stale
                axes.set_visible(name == key)
    return cards[key]
