"""Makes of results.jsonl what people read: tables in Markdown, plots as SVG, and whether the bars are met.

A cell is the median of the runs with the quartiles beside it; a ratio is one of medians, with the
quartiles of the ratios within each round, in which the peers took turns.
"""

import collections
import html
import json
import os
import re
import statistics
from dataclasses import dataclass

FLOORS = ("limit1", "limit4")
RIVALS = ("interimap", "mbsync")
ORDER = ("limit1", "limit4", "godwit", "godwit1", "mbsync", "interimap", "dsync")
PASSES = {"first": "first pass", "same": "nothing has changed", "changed": "1 % has changed", "memory": "memory, first pass"}
SERVERS = {"dovecot": "Dovecot", "cyrus": "Cyrus", "mdbox": "Dovecot (mdbox)"}
BEGIN, END = "<!-- bench/run.py --write: begin -->", "<!-- bench/run.py --write: end -->"


class Results:
    """All samples of one run, by case, pass and peer."""

    def __init__(self, lines):
        self.run, self.samples, self.judged = {}, collections.OrderedDict(), {}
        for line in lines:
            entry = json.loads(line)
            if "run" in entry:
                self.run = entry["run"]
            elif entry["pass"] == "judged":
                self.judged[entry["case"], entry["peer"]] = entry
            else:
                group = self.samples.setdefault((entry["case"], entry["pass"]), {})
                group.setdefault(entry["peer"], []).append(entry)

    def values(self, case, what, peer, key="wall"):
        """{round: value} of the runs that came to their end."""
        found = self.samples.get((case, what), {}).get(peer, [])
        return {entry["round"]: entry[key] for entry in found if entry["status"] == 0 and entry.get(key) is not None}

    def median(self, case, what, peer, key="wall"):
        """Of the runs that came to their end; None if none did."""
        values = self.values(case, what, peer, key).values()
        return statistics.median(values) if values else None

    def floor(self, case, key="wall"):
        """(peer, median) of the floor that needs less of it."""
        found = [(self.median(case, "first", peer, key), peer) for peer in FLOORS if self.median(case, "first", peer, key)]
        return (min(found)[1], min(found)[0]) if found else (None, None)

    def ratio(self, case, what, one, other, key="wall"):
        """(ratio of medians, lower quartile, upper quartile) of one peer to the other; None if it cannot be told."""
        ours, theirs = self.values(case, what, one, key), self.values(case, what, other, key)
        pairs = [(ours[at], theirs[at]) for at in ours if theirs.get(at)]      # of the rounds that both ran in
        if not pairs:
            return None
        above, below = (statistics.median(values) for values in zip(*pairs))
        return above / below, *quartiles([one / other for one, other in pairs])


def quartiles(values):
    """Lower and upper; of few values the least and the largest."""
    values = sorted(values)
    if len(values) < 4:
        return (values[0], values[-1]) if values else (0, 0)
    lower, _, upper = statistics.quantiles(values, n=4)
    return lower, upper


def number(value, digits=3):
    """So many digits that count, no more."""
    if value is None:
        return ""
    if not value:
        return "0"
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e" in text or abs(value) >= 10 ** (digits - 1) else text


def spread(values):
    """Median (quartiles)."""
    values = list(values)
    if not values:
        return ""
    if len(values) == 1:
        return number(values[0])
    return f"{number(statistics.median(values))} ({'–'.join(map(number, quartiles(values)))})"


def times(ratio):
    """A ratio as text."""
    return "" if ratio is None else f"{ratio[0]:.2f} ({ratio[1]:.2f}–{ratio[2]:.2f})"


# What came of it.

def outcome(results, case, what, peer):
    """In words: whether all arrived, by the reading where there was one, and by the counts of all the others."""
    samples = results.samples[case, what][peer]
    words = []
    late = sum(sample["status"] is None for sample in samples)
    failed = sorted({sample["status"] for sample in samples} - {0, None})
    if late:
        words.append(f"**not done in time** ({late} of {len(samples)})")
    if failed:
        words.append(f"**ended with {', '.join(map(str, failed))}**")
    worst = collections.Counter()
    judged = [results.judged[case, peer]] if what in ("same", "changed") and (case, peer) in results.judged else []
    for sample in samples + judged:
        if sample.get("status", 0) is not None:
            for fault, count in sample["faults"].items():
                worst[fault] = max(worst[fault], count)
    words += [f"**{fault} {worst[fault]}**" if fault in ("lost", "doubled", "folders") else f"{fault} {worst[fault]}"
              for fault in ("lost", "doubled", "folders", "changed", "flags", "keywords", "dates") if worst[fault]]
    refused = max(sample.get("refused", 0) for sample in samples)
    if refused:
        words.append(f"**refused {refused}**")
    if not words:
        words.append("exact" if any(sample["read"] for sample in samples + judged) else "count is right")
    return ", ".join(words)


def waits(results, case, what, peer):
    """Longest connection's, on the line; where there was none, what godwit tells of itself."""
    samples = results.samples[case, what][peer]
    seen = [sample["waits"]["longest"] for sample in samples if "waits" in sample and sample["status"] == 0]
    if seen:
        return number(statistics.median(seen))
    told = [max(sample["told_waits"]) for sample in samples if "told_waits" in sample]
    return f"{number(statistics.median(told))} told" if told else ""


# Tables.

def _row(cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def _megabytes(results, case, what, peer):
    found = [sum(sample["bytes"].values()) / 1e6 for sample in results.samples[case, what][peer] if sample["bytes"]]
    return number(statistics.median(found)) if found else ""


def _timed(results, case, what):
    best, _ = results.floor(case) if what == "first" else ("godwit", None)
    text = _row(("", "runs", "seconds", f"× {best}" if best else "", "CPU s: client", "source", "destination", "MB on the wire", "waits",
                 "what is there"))
    text += "|---|---|---|---|---|---|---|---|---|---|\n"
    for peer, samples in _ordered(results, case, what):
        cpu = [number(results.median(case, what, peer, key)) for key in ("cpu", "cpu_source", "cpu_destination")]
        seconds = spread(results.values(case, what, peer).values())
        if not seconds and samples[0]["status"] is None:
            seconds = f"> {number(samples[0]['wall'])}"
        text += _row((f"**{peer}**" if peer == "godwit" else peer, len(samples), seconds,
                      times(results.ratio(case, what, peer, best)) if best else "", *cpu,
                      _megabytes(results, case, what, peer), waits(results, case, what, peer), outcome(results, case, what, peer)))
    return text


def _remembered(results, case, what):
    text = _row(("", "PSS of all processes, MB", "resident, MB", "looks", "seconds", "messages a second", "what is there"))
    text += "|---|---|---|---|---|---|---|\n"
    for peer, (sample, *_) in _ordered(results, case, what):
        text += _row((f"**{peer}**" if peer == "godwit" else peer, f"{sample['pss'] / 1024:.1f}", f"{sample['high_water'] / 1024:.1f}",
                      sample["looks"], number(sample["wall"]), number(sample["there"] / sample["wall"], 4),
                      outcome(results, case, what, peer)))
    return text


def _ordered(results, case, what):
    group = results.samples[case, what]
    return [(peer, group[peer]) for peer in ORDER if peer in group]


def heading(case, what):
    """A case in words: `first-S-cyrus-40ms-100mbit`."""
    _, mailbox, server, *line = case.split("-")
    way = [f"{line[0][:-2]} ms round trip" if line[0] != "0ms" else "no delay"] if line else []
    way += [f"{line[1][:-4]} Mbit/s"] if len(line) > 1 else []
    return f"{mailbox}, Dovecot to {SERVERS[server]}, {', '.join([*way, PASSES[what]])}"


def tables(results):
    """All of them, with their headings."""
    text = ""
    for case, what in results.samples:
        if what in PASSES:
            body = _remembered(results, case, what) if what == "memory" else _timed(results, case, what)
            text += f"\n#### {heading(case, what)}\n\n{body}"
    return text


# Bars.

@dataclass(frozen=True)
class Bar:
    """What is to be reached: `value(results)` gives (number, in words) or None; `most` or `least` bounds it."""

    text: str
    value: object
    most: float = None
    least: float = None

    def row(self, results):
        """Of the table."""
        found = self.value(results)
        if found is None:
            return (self.text, self._bound(), "", "not measured")
        value, words = found
        met = value <= self.most if self.most is not None else value >= self.least
        return (self.text, self._bound(), words, "met" if met else "**missed**")

    def _bound(self):
        return f"≤ {self.most:g}" if self.most is not None else f"≥ {self.least:g}"


def _to_floor(case, key="wall"):
    def value(results):
        floor, _ = results.floor(case, key)
        ratio = results.ratio(case, "first", "godwit", floor, key) if floor else None
        return ratio and (ratio[0], f"{times(ratio)} {floor}")
    return value


def _faster(case, what, key="wall", rivals=RIVALS):
    """How many times as much the best rival takes; a rival that was ended counts as what it took until then."""
    def value(results):
        ours, found = results.median(case, what, "godwit", key), []
        for rival in rivals:
            ratio = results.ratio(case, what, rival, "godwit", key)
            if ratio:
                found.append((ratio[0], f"{rival} {times(ratio)}"))
            elif rival in results.samples.get((case, what), {}) and key == "wall" and ours:
                sample = results.samples[case, what][rival][0]
                found += [(sample["wall"] / ours, f"{rival} > {sample['wall'] / ours:.1f}")] if sample["status"] is None else []
        return min(found) if found and ours else None
    return value


def _longest(case, what):
    def value(results):
        samples = results.samples.get((case, what), {}).get("godwit", [])
        seen = [sample["waits"]["longest"] for sample in samples if "waits" in sample]
        told = [max(sample["told_waits"]) for sample in samples if "told_waits" in sample]
        found = seen or told
        return (statistics.median(found), f"{spread(found)}{'' if seen else ' told'}") if found else None
    return value


def _peak(case):
    def value(results):
        found = results.values(case, "memory", "godwit", "pss")
        return (max(found.values()) / 1024, f"{max(found.values()) / 1024:.1f} MB") if found else None
    return value


def _tiny_rate(case, beside):
    """Messages a second of the many, by those of M."""
    def value(results):
        many = results.samples.get((case, "memory"), {}).get("godwit")
        wall = results.median(beside, "first", "godwit")
        if not many or not wall or many[0]["status"] != 0:
            return None
        there = results.samples[beside, "first"]["godwit"][0]["there"]
        ratio = many[0]["there"] / many[0]["wall"] / (there / wall)
        return ratio, f"{ratio:.2f}"
    return value


def _lanes(case, what="first"):
    return Bar(f"{case}{'' if what == 'first' else ', ' + PASSES[what]}: time with one lane, of godwit's",
               _faster(case, what, rivals=("godwit1",)), least=1)


def bars():
    """All that is promised, in the order of the table."""
    found = []
    for rtt, floor, rivals in ((0, 1.25, {"S": 1.7, "M": 1.2}), (40, 1.3, {"S": 5, "M": 2.5})):
        for mailbox, least in rivals.items():
            for server in ("dovecot", "cyrus"):
                case = f"first-{mailbox}-{server}-{rtt}ms"
                found += [Bar(f"{case}: time, of the floor's", _to_floor(case), most=floor),
                          Bar(f"{case}: a rival's time, of godwit's", _faster(case, "first"), least=least),
                          Bar(f"{case}: client's CPU, of the floor's", _to_floor(case, "cpu"), most=1.4),
                          Bar(f"{case}: a rival's CPU, of godwit's", _faster(case, "first", "cpu", ORDER[4:]), least=1),
                          _lanes(case)]
    case = "first-S-dovecot-40ms-100mbit"
    found += [Bar(f"{case}: time, of the floor's", _to_floor(case), most=1.1), _lanes(case)]
    for rtt in (0, 40):
        for mailbox in "SM":
            case = f"later-{mailbox}-dovecot-{rtt}ms"
            for what, most in (("same", 10), ("changed", 25)):
                found += [Bar(f"{case}, {PASSES[what]}: a rival's time, of godwit's", _faster(case, what), least=1),
                          Bar(f"{case}, {PASSES[what]}: waits of the longest lane", _longest(case, what), most=most)]
            found.append(_lanes(case, "changed"))
    found += [Bar(f"memory-{name}-dovecot: MB (PSS, all processes)", _peak(f"memory-{name}-dovecot"), most=48)
              for name in ("S", "M", "one60", "one300")]
    case = "memory-tiny1000000-mdbox"
    found += [Bar(f"{case}: MB (PSS, all processes)", _peak(case), most=96),
              Bar(f"{case}: messages a second, of those of M", _tiny_rate(case, "first-M-dovecot-0ms"), least=0.8)]
    return found


def bar_table(results, everything=True):
    """Bound and measurement of each; `everything`: also what was not measured."""
    rows = [bar.row(results) for bar in bars()]
    rows = [row for row in rows if everything or row[3] != "not measured"]
    return _row(("", "bar", "measured", "")) + "|---|---|---|---|\n" + "".join(map(_row, rows))


# Plots.

STYLE = """
  text { font: 13px sans-serif; fill: #24292f }
  .title { font-weight: bold }
  .peer { fill: #8c959f } .floor { fill: #c9d1d9 } .godwit { fill: #1a7f64 }
  .spread { stroke: #24292f; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .peer { fill: #6e7681 } .floor { fill: #484f58 } .godwit { fill: #3fb28f }
    .spread { stroke: #e6edf3 }
  }
"""
WIDTH, LEFT, RIGHT, LINE = 760, 90, 130, 20


def plot(groups):
    """An SVG of horizontal bars: groups are (title, unit, [(peer, median, lower, upper)]), each to its own scale."""
    parts, top = [], 0
    for title, unit, rows in groups:
        most = max(upper for _, _, _, upper in rows)
        scale = (WIDTH - LEFT - RIGHT) / most if most else 0
        parts.append(f'<text class="title" x="0" y="{top + 16}">{html.escape(title)}</text>')
        top += LINE + 4
        for peer, median, lower, upper in rows:
            kind = "floor" if peer in FLOORS else peer if peer == "godwit" else "peer"
            middle = top + LINE / 2
            parts.append(f'<text x="{LEFT - 8}" y="{middle + 4}" text-anchor="end">{html.escape(peer)}</text>')
            parts.append(f'<rect class="{kind}" x="{LEFT}" y="{top + 2}" width="{max(1, median * scale):.1f}" height="{LINE - 4}"/>')
            if upper > lower:
                parts.append(f'<line class="spread" x1="{LEFT + lower * scale:.1f}" x2="{LEFT + upper * scale:.1f}" '
                             f'y1="{middle}" y2="{middle}"/>')
            parts.append(f'<text x="{LEFT + upper * scale + 8:.1f}" y="{middle + 4}">{number(median)} {unit}</text>')
            top += LINE
        top += LINE // 2
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}" role="img">\n'
            f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n")


def plots(results):
    """{file name: SVG}: one a pass."""
    groups = collections.OrderedDict()
    for case, what in results.samples:
        key, unit, factor = ("pss", "MB", 1 / 1024) if what == "memory" else ("wall", "s", 1)
        rows = []
        for peer, _ in _ordered(results, case, what):
            values = [value * factor for value in results.values(case, what, peer, key).values()]
            if values:
                rows.append((peer, statistics.median(values), *quartiles(values)))
        if rows and what in PASSES:
            groups.setdefault(what, []).append((heading(case, what), unit, rows))
    return {f"bench-{what}.svg": plot(group) for what, group in groups.items()}


# The whole.

def preface(run):
    """Where and when it was measured."""
    load = run.get("load")
    return (f"Measured {run.get('date')} with godwit {run.get('commit') or run.get('godwit')}, isync {run.get('isync')}, interimap "
            f"{run.get('interimap')}, on {run.get('cpus')} processors ({run.get('cpu')}), Linux {run.get('kernel')} with TCP {run.get('tcp')}"
            + (f", whose load was {load[0]:.1f} at the beginning" if load else "") + ".\n")


def whole(results, pictures=()):
    """All that goes between the marks."""
    text = preface(results.run) if results.run else ""
    text += "\n### Bars\n\n" + bar_table(results) + "\n### Cases\n"
    text += "".join(f"\n![{name}]({name})\n" for name in pictures)
    return text + tables(results)


def replace(document, text):
    """The document with what stands between its marks replaced; ValueError if it has none."""
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.S)
    if not pattern.search(document):
        raise ValueError("the document has no place for the table: " + BEGIN)
    return pattern.sub(lambda _: f"{BEGIN}\n{text}\n{END}", document)


def _write(path, text):
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)


def publish(path, output, document=None):
    """Print the tables of these results, and write them down."""
    with open(path, encoding="utf-8") as lines:
        results = Results(lines)
    directory = os.path.dirname(os.path.abspath(document)) if document else output
    os.makedirs(directory, exist_ok=True)
    pictures = plots(results)
    for name, picture in pictures.items():
        _write(os.path.join(directory, name), picture)
    if document:
        with open(document, encoding="utf-8") as old:
            text = replace(old.read(), whole(results, pictures))
        _write(document, text)
    print(preface(results.run) if results.run else "")
    print(bar_table(results, everything=False) + tables(results))
    print(f"results: {path}\nplots: {', '.join(os.path.join(directory, name) for name in pictures)}")
