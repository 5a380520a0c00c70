"""The comparison as one self-contained HTML file: no script, no font, no picture from elsewhere.

The charts are SVG written here, so that the file stays small, follows the
reader's light or dark setting and can be mailed.  Rejected: embedding the
matplotlib picture; it is 40 times larger and white at night.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import ceil, floor, log10

from ..compare import Comparison
from ..resample import LEVEL
from ..tally import Tally
from . import wording as w

_WIDTH, _HEIGHT = 860, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 14, 40
_STEPS = 600  # corners of a curve; more cannot be seen at this width

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2024;--soft:#5b6470;--line:#d9dee3;--paper:#fff;--panel:#f6f8f9;
--old:#7d8590;--new:#0b7285;--good:#1a7f37;--bad:#b42318;--doubt:#9a6700;--doubtbg:#fff8e5}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa4af;--line:#363d45;--paper:#14181c;
--panel:#1c2126;--old:#98a2ad;--new:#3bc9db;--good:#4ac26b;--bad:#ff7b72;--doubt:#e3b341;--doubtbg:#2b2412}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:960px;margin:0 auto;padding:28px 24px 48px}
h1{font-size:22px;line-height:1.3;margin:0 0 6px}h2{font-size:16px;margin:34px 0 8px}
.cheaper{color:var(--good)}.dearer{color:var(--bad)}.undecided{color:var(--doubt)}
p{margin:4px 0}.soft{color:var(--soft)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%;font-size:14px}
th,td{padding:5px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:500;white-space:normal;vertical-align:bottom}
th.l,td.l{text-align:left}td.wrap{white-space:normal;text-align:left}
svg{width:100%;height:auto;display:block;background:var(--panel);border-radius:8px}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}
.key{display:inline-flex;gap:6px;align-items:center;margin-right:18px;font-size:14px}
.key i{width:14px;height:4px;border-radius:2px;display:inline-block}
ul.doubts{list-style:none;padding:0;margin:0}
ul.doubts li{background:var(--doubtbg);border-left:3px solid var(--doubt);
padding:8px 12px;margin:6px 0;border-radius:4px}
ul.doubts span{display:block;color:var(--soft)}
code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}
footer{margin-top:36px;color:var(--soft);font-size:13px}
"""


def page(result: Comparison) -> str:
    """The whole file."""
    parts = [
        f'<h1 class="{result.verdict}">{escape(w.verdict(result))}</h1>',
        f"<p>{escape(w.rank(result))}</p><p>{escape(w.money(result))}</p>",
    ]
    if result.billed_ms:
        parts += [_keys(result), _curves(result), _strips(result)]
    parts += [
        "<h2>Billed duration, ms</h2>",
        _table(("", "old", "new", "difference", "95 % interval", "change"), w.figure_rows(result)),
        "<h2>Starts by kind, ms</h2>",
        _table(w.KIND_HEADER, w.kind_rows(result), left=2),
        "<h2>Money</h2>",
        _table(*w.money_table(result)),
    ]
    if boots := list(w.boot_rows(result)):
        parts += ["<h2>Inside the thaw</h2>", _table(("", "item", "n", "median ms", "p99 ms"), boots, left=2)]
    if fallbacks := list(w.fallback_rows(result)):
        parts += ["<h2>Cold instead of thawed</h2>", _table(("", "times", "reason"), fallbacks, wrap=2)]
    if result.doubts:
        items = "".join(f"<li>{escape(d.text)}<span>{escape(d.remedy)}</span></li>" for d in result.doubts)
        parts.append(f'<h2>Doubts</h2><ul class="doubts">{items}</ul>')
    for side, group in w.sides(result):
        if group.problems:
            rows = [(str(problem.line), problem.why, problem.text) for problem in group.problems]
            parts.append(f"<h2>Lines of {side} that could not be read ({group.malformed:,})</h2>")
            parts.append(_table(("line", "why", "text"), rows, left=2, wrap=2))
    prices = result.prices
    parts.append(
        f"<footer>Prices of {prices.day} for {prices.arch} in {escape(prices.region)}: "
        f"${prices.gb_second:.10f} per GB-s, "
        f"INIT {'billed' if prices.init_billed else 'free'}; read on {prices.read_on} from "
        f"{escape(prices.source)}. "
        f"Intervals: {LEVEL:.0%} bootstrap, percentile method. Charges per request are left out.</footer>"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Billed durations: {escape(result.old.name)} and {escape(result.new.name)}</title>"
        f"<style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _keys(result: Comparison) -> str:
    keys = [
        f'<span class="key"><i style="background:var(--{side})"></i>{side}: {escape(group.name)} '
        f"({escape(w.compared(group))}, {group.distribution.n:,})</span>"
        for side, group in w.sides(result)
    ]
    return f'<p class="soft" style="margin:18px 0 8px">{"".join(keys)}</p>'


def _curves(result: Comparison) -> str:
    scale = _Scale(result)
    height = _HEIGHT - _TOP - _BOTTOM
    parts = [scale.grid(_TOP, _HEIGHT - _BOTTOM)]
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = _HEIGHT - _BOTTOM - share * height
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    for side, group in w.sides(result):
        tally = group.distribution
        points = [f"M{scale.x(tally.minimum):.1f},{_HEIGHT - _BOTTOM}"]
        for value, share in _corners(tally):
            points.append(f"H{scale.x(value):.1f}V{_HEIGHT - _BOTTOM - share * height:.1f}")
        points.append(f"H{_WIDTH - _RIGHT}")
        parts.append(f'<path d="{"".join(points)}" fill="none" stroke="var(--{side})" stroke-width="2.2"/>')
        median = scale.x(tally.quantile(0.5))
        parts.append(_upright(median, _TOP, _HEIGHT - _BOTTOM, side, 'stroke-dasharray="2 4"'))
    return _svg(_HEIGHT, "Share of starts billed at most so many ms, old and new", parts)


def _strips(result: Comparison) -> str:
    scale = _Scale(result)
    height = 130
    parts = [scale.grid(10, height - _BOTTOM, title="billed duration, ms; bar: middle half, tick: median")]
    for row, (side, group) in enumerate(w.sides(result)):
        tally = group.distribution
        y = 28 + row * 38
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{side}</text>')
        a, b, m = (scale.x(tally.quantile(q)) for q in (0.25, 0.75, 0.5))
        parts.append(
            f'<rect x="{a:.1f}" y="{y - 8}" width="{max(b - a, 1):.1f}" height="16" rx="3" '
            f'fill="var(--{side})" opacity=".28"/>'
        )
        cells: dict[int, int] = {}
        for value, count in tally.counts():
            if value > scale.high:
                break
            cell = round(scale.x(value))
            cells[cell] = cells.get(cell, 0) + count
        most = max(cells.values())
        for cell, count in cells.items():
            radius = 2.2 + 3.2 * (count / most if most > 1 else 0.4)
            parts.append(
                f'<circle cx="{cell}" cy="{y}" r="{radius:.1f}" fill="var(--{side})" opacity=".55"/>'
            )
        parts.append(_upright(m, y - 13, y + 13, side, 'stroke-width="3"'))
    return '<div style="height:10px"></div>' + _svg(
        height, "Every start of old and new, its median and middle half", parts
    )


class _Scale:
    """Billed ms to x; the slowest hundredth may be cut off so that one outlier does not flatten all else."""

    def __init__(self, result: Comparison) -> None:
        tallies = [result.old.distribution, result.new.distribution]
        low = min(t.minimum for t in tallies)
        full = max(t.maximum for t in tallies)
        usual = max(t.quantile(0.99) for t in tallies)
        self.log = full > 20 * max(low, 1.0)
        self.cut = not self.log and full > low + 3 * (usual - low) and usual > low
        high = usual if self.cut else full
        if self.log:
            self.low, self.high = max(low, 1.0) / 1.15, high * 1.15
        else:
            margin = (high - low) * 0.04 or max(1.0, low * 0.05)
            self.low, self.high = max(0.0, low - margin), high + margin

    def x(self, value: float) -> float:
        inner = _WIDTH - _LEFT - _RIGHT
        if self.log:
            part = log10(max(value, self.low) / self.low) / log10(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return _LEFT + inner * min(1.0, part)

    def ticks(self) -> list[float]:
        if self.log:
            powers = range(floor(log10(self.low)), floor(log10(self.high)) + 1)
            found = [m * 10.0**power for power in powers for m in (1, 2, 5)]
        else:
            raw = (self.high - self.low) / 7
            power = 10.0 ** floor(log10(raw))
            step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw)
            found = [step * i for i in range(ceil(self.low / step), floor(self.high / step) + 1)]
        return [tick for tick in found if self.low <= tick <= self.high]

    def grid(self, top: float, bottom: float, title: str = "billed duration, ms") -> str:
        parts = []
        for tick in self.ticks():
            x = self.x(tick)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" stroke="var(--line)"/>')
            parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:,.10g}</text>')
        note = f"{title}; the slowest 1 % are beyond the right edge" if self.cut else title
        middle = (_WIDTH + _LEFT) / 2
        parts.append(f'<text x="{middle:.0f}" y="{bottom + 33}" text-anchor="middle">{note}</text>')
        return "".join(parts)


def _corners(tally: Tally) -> list[tuple[float, float]]:
    values, cumulative = tally.ordered()
    n = tally.n
    if len(values) <= _STEPS:
        return [(value, count / n) for value, count in zip(values, cumulative, strict=True)]
    return [(tally.at(max(1, round(n * i / _STEPS))), i / _STEPS) for i in range(1, _STEPS + 1)]


def _upright(x: float, top: float, bottom: float, side: str, style: str) -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" stroke="var(--{side})" {style}/>'


def _svg(height: int, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _table(
    header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1, wrap: int | None = None
) -> str:
    def kind(i: int) -> str:
        return "wrap" if i == wrap else "l" if i < left else ""

    head = "".join(
        f'<th class="{"l" if i < left or i == wrap else ""}">{escape(cell)}</th>'
        for i, cell in enumerate(header)
    )
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind(i)}">{escape(cell)}</td>' for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
