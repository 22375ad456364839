"""Draws the dashboard of template.yaml, as CloudWatch would show it, from a run on this machine.

Called by .ci/dashboard with the folder of the run (see tests/examples/dashboard.rs) and the picture to write. Functions
write their metrics to their logs, as on AWS. AWS's own metrics come from the measurements of the small Lambda. The
drawing fails on anything in the dashboard that it does not know.
"""

import ast
import json
import operator
import re
import sys
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from cfnlint.decode import cfn_yaml  # noqa: E402
from matplotlib import pyplot  # noqa: E402
from matplotlib.font_manager import FontProperties  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402
from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: E402
from numpy import nan, percentile  # noqa: E402
from PIL import Image  # noqa: E402

TEMPLATE = "template.yaml"
STACK = "shop"
CAPTION = (
    "Drawn by .ci/dashboard from a run on one machine, with unoptimized programs. {seconds:g} s of it stands for a "
    "minute of the axis; durations are as measured. The functions wrote their metrics and logs as on AWS; the small "
    "Lambda of the tests measured what API Gateway and Lambda do. From {silent} on MongoDB was stopped for {minutes} "
    "minutes."
)

# Pixels.
WIDTH, MARGIN, ROW, GAP, LINE = 1600, 10, 47, 6, 15
COLUMNS = 24
COLORS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"]
PLAIN, BOLD = FontProperties(size=8.5), FontProperties(size=8.5, weight="bold")
TITLE, HEADING = FontProperties(size=9.5, weight="bold"), FontProperties(size=14, weight="bold")
CODE = FontProperties(size=8, family="monospace")
TEXT, FAINT = "#16191f", "#6b7480"


def fail(text):
    sys.exit(f"the dashboard cannot be drawn: {text}")


def known(it, names, where):
    """Fails if an object has a field that the drawing would leave out."""
    unknown = it.keys() - set(names)
    if unknown:
        fail(f"{where} has {', '.join(sorted(unknown))}")


def substituted(template, text, own=None):
    """A text of Fn::Sub. A resource stands for itself by its logical ID."""
    maps = template["Mappings"]
    values = {"AWS::StackName": STACK, "AWS::Region": "local"}
    for name, it in (own or {}).items():
        ((function, (where, key, field)),) = it.items()
        values[name] = maps[where][key][field] if function == "Fn::FindInMap" else fail(f"the template has {function}")
    return re.sub(r"\$\{([\w:.]+)\}", lambda it: str(values.get(it[1], it[1].split(".")[0])), text)


# Data.


class Run:
    """Metrics and lines of the log of a run, in seconds of the axis since its begin."""

    # Namespaces of AWS that a local run measures.
    OF_AWS = ("AWS/ApiGateway", "AWS/Lambda", "AWS/Logs")

    def __init__(self, folder, template):
        run = json.loads((folder / "run.json").read_text())
        self.began, self.minute, self.silent = run["began"], run["minute"], run["silent"]
        self.end = self.seconds(run["ended"])
        # By namespace, name and dimensions: times and values.
        self.metrics = defaultdict(list)
        # By log group.
        self.lines = defaultdict(list)
        for path in sorted(folder.glob("*.log")):
            self.read_log(path)
        self.read_invocations(run["measured"]["invocations"])
        self.read_requests(run["measured"]["requests"], template["Resources"]["Api"]["Properties"])

    def seconds(self, millis):
        return (millis - self.began) / self.minute * 60

    def add(self, namespace, name, dimensions, millis, value):
        second = self.seconds(millis)
        if 0 <= second < self.end:
            self.metrics[namespace, name, frozenset(dimensions.items())].append((second, value))

    def read_log(self, path):
        group = f"{path.stem.capitalize()}Log"
        millis = self.began
        for text in path.read_text().splitlines():
            # Text that is no JSON has no time of its own.
            line = json.loads(text) if text.startswith("{") else {}
            if "_aws" in line:
                millis = line["_aws"]["Timestamp"]
                self.read_metrics(line)
            elif line:
                millis = datetime.fromisoformat(line["timestamp"]).timestamp() * 1000
                second = self.seconds(millis)
                if 0 <= second < self.end:
                    self.lines[group].append({**line, "@timestamp": second})
            self.add("AWS/Logs", "IncomingBytes", {"LogGroupName": group}, millis, len(text.encode()))

    def read_metrics(self, line):
        """A line in the Embedded Metric Format."""
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = {name: line[name] for name in names}
                for metric in directive["Metrics"]:
                    values = line[metric["Name"]]
                    for value in values if isinstance(values, list) else [values]:
                        self.add(directive["Namespace"], metric["Name"], dimensions, line["_aws"]["Timestamp"], value)

    def read_invocations(self, invocations):
        begins, ends = defaultdict(list), defaultdict(list)
        for it in invocations:
            if it["ending"] != "throttled":
                insort(begins[it["function"]], it["at"])
                insort(ends[it["function"]], it["at"] + it["duration"])
        for it in invocations:
            name, at = it["function"], it["at"]
            values = {"Throttles": int(it["ending"] == "throttled")}
            if it["ending"] != "throttled":
                running = bisect_right(begins[name], at) - bisect_left(ends[name], at)
                values.update(Invocations=1, Duration=it["duration"], Errors=int(it["ending"] == "failed"))
                values.update(ConcurrentExecutions=running)
            function = name.capitalize()
            for dimensions in ({"FunctionName": function}, {"FunctionName": function, "Resource": f"{function}:live"}):
                for metric, value in values.items():
                    self.add("AWS/Lambda", metric, dimensions, at, value)

    def read_requests(self, requests, api):
        access_log = api["AccessLogSettings"]["Format"]
        for it in requests:
            kind = it["status"] // 100
            measured = {"Count": 1, "4xx": int(kind == 4), "5xx": int(kind == 5), "Latency": it["latency"]}
            for name, value in measured.items():
                self.add("AWS/ApiGateway", name, {"ApiId": "Api"}, it["at"], value)
            # The size of a line counts, and not what it says: what is not measured has its usual length.
            shown = {
                "requestTime": "30/Nov/2026:00:00:00 +0000", "requestId": "JKJaXmPLvHcESHA=",
                "identity.sourceIp": "192.0.2.111", "routeKey": "GET /orders/{id}", "status": it["status"],
                "responseLatency": round(it["latency"]), "integrationStatus": 200,
                "integrationLatency": round(it["latency"]), "responseLength": it["bytes"], "error.message": "-",
            }
            line = re.sub(r"\$context\.([\w.]+)", lambda name: str(shown[name[1]]), access_log)
            self.add("AWS/Logs", "IncomingBytes", {"LogGroupName": "AccessLog"}, it["at"], len(line))

    def is_measured(self, namespace):
        return not namespace.startswith("AWS/") or namespace in self.OF_AWS


def statistic(name, values):
    simple = {"Sum": sum, "Maximum": max, "Minimum": min, "SampleCount": len, "Average": lambda it: sum(it) / len(it)}
    if name in simple:
        return simple[name](values)
    quantile = re.fullmatch(r"p(\d+(?:\.\d+)?)", name)
    return percentile(values, float(quantile[1])) if quantile else fail(f"a metric has the statistic {name}")


def by_period(points, name, period):
    """Statistic of each period that has values, by the second of its begin."""
    periods = defaultdict(list)
    for second, value in points:
        periods[int(second // period) * period].append(value)
    return {begin: statistic(name, values) for begin, values in sorted(periods.items())}


class Series:
    def __init__(self, label, values, is_measured=True):
        self.label, self.values, self.is_measured, self.color = label, values, is_measured, None


OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def calculated(node, by_id):
    """Values of an expression of metric math, or a number."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name) and node.id in by_id:
        return by_id[node.id].values
    if not isinstance(node, ast.BinOp) or type(node.op) not in OPERATORS:
        fail(f"an expression has {ast.unparse(node)}")
    left, right = calculated(node.left, by_id), calculated(node.right, by_id)
    compute = OPERATORS[type(node.op)]
    if isinstance(left, dict) and isinstance(right, dict):
        return {second: compute(left[second], right[second]) for second in left.keys() & right.keys()}
    if isinstance(left, dict):
        return {second: compute(value, right) for second, value in left.items()}
    if isinstance(right, dict):
        return {second: compute(left, value) for second, value in right.items()}
    return compute(left, right)


def found(run, expression, period):
    """Series of `SEARCH('{NAMESPACE,DIMENSION} MetricName="NAME"', 'STATISTIC')`, labelled by what differs."""
    search = re.fullmatch(r"SEARCH\('\{([^}]*)\} MetricName=\"(\w+)\"', '(\w+)'\)", expression)
    if not search:
        fail(f"an expression is {expression}")
    (namespace, *dimensions), name, stat = search[1].split(","), search[2], search[3]
    hits = {
        dict_of: points
        for (of, metric, dict_of), points in run.metrics.items()
        if of == namespace and metric == name and {key for key, _ in dict_of} == set(dimensions)
    }
    shared = frozenset.intersection(*hits) if len(hits) > 1 else frozenset()
    for at, points in sorted(hits.items(), key=lambda it: sorted(it[0])):
        yield Series(" ".join(value for _, value in sorted(at - shared)), by_period(points, stat, period))


def rows_of(metrics):
    """Rows of a widget without their shorthand: `.` is what stands above, `...` all of that."""
    above = []
    for row in metrics:
        texts = [it for it in row if isinstance(it, str)]
        if texts[:1] == ["..."]:
            texts = above[: len(above) - len(texts) + 1] + texts[1:]
        texts = [above[place] if text == "." else text for place, text in enumerate(texts)]
        above = texts or above
        yield texts, next((it for it in row if isinstance(it, dict)), {})


def series_of(run, properties):
    """Visible series of a widget."""
    by_id, visible = {}, []
    for place, (texts, options) in enumerate(rows_of(properties["metrics"])):
        known(options, ["label", "stat", "period", "id", "visible", "expression", "color"], properties["title"])
        period = options.get("period", properties["period"])
        expression = options.get("expression")
        if expression and expression.startswith("SEARCH("):
            all_found = list(found(run, expression, period))
        elif expression:
            values = calculated(ast.parse(expression, mode="eval").body, by_id)
            all_found = [Series(options.get("label", expression), values)]
        else:
            namespace, name, *rest = texts
            dimensions = frozenset(zip(rest[::2], rest[1::2], strict=True))
            points = run.metrics[namespace, name, dimensions]
            values = by_period(points, options.get("stat", properties["stat"]), period)
            all_found = [Series(options.get("label", name), values, run.is_measured(namespace))]
        by_id[options.get("id", f"row {place}")] = all_found[0] if all_found else Series("", {})
        if options.get("visible", True):
            for it in all_found:
                it.color = options.get("color", COLORS[len(visible) % len(COLORS)])
                visible.append(it)
    return visible


# Queries of the log.


def field_of(line, name):
    return line.get(name, line.get(name.split(".")[0], {}).get(name.split(".")[1]) if "." in name else None)


def aggregate(text, lines):
    count = text == "count(*)"
    share = re.fullmatch(r"pct\((\w+), (\d+)\)", text)
    most = re.fullmatch(r"max\((\w+)\)", text)
    least = re.fullmatch(r"sum\((\w+) >= (\d+)\)", text)
    if count:
        return len(lines)
    if share:
        return percentile([line[share[1]] for line in lines], int(share[2]))
    if most:
        return max(line[most[1]] for line in lines)
    if least:
        return sum(line[least[1]] >= int(least[2]) for line in lines)
    return fail(f"a query has {text}")


def answer(run, query):
    """Columns and rows of a query of CloudWatch Logs Insights, of the commands that the dashboard has."""
    groups = re.findall(r"SOURCE '(\w+)'", query)
    rows = [line for group in groups for line in run.lines[group]]
    columns = []
    for command in query.split(" | ")[len(groups):]:
        name, rest = command.split(" ", 1)
        if name == "filter" and (condition := re.fullmatch(r"(\w+) = '(\w+)'", rest)):
            rows = [line for line in rows if line.get(condition[1]) == condition[2]]
        elif name == "fields":
            columns = []
            for text in re.findall(r"coalesce\(.*?\) as \w+|[^,\s]+", rest):
                either = re.fullmatch(r"coalesce\((\w+), (\w+)\) as (\w+)", text)
                if either:
                    first, second, text = either.groups()
                    rows = [{**line, text: line.get(first) or line.get(second)} for line in rows]
                columns.append(text)
        elif name == "stats" and " by " in rest:
            computed, by = rest.split(" by ")
            computed = re.findall(r"(\w+\((?:[^()]*)\)) as (\w+)", computed)
            by = by.split(", ")
            columns = by + [label for _, label in computed]
            keyed = defaultdict(list)
            for line in rows:
                keyed[tuple(line[name] for name in by)].append(line)
            rows = []
            for key, lines in keyed.items():
                values = (*key, *(aggregate(it, lines) for it, _ in computed))
                rows.append(dict(zip(columns, values, strict=True)))
        elif name == "sort" and (order := re.fullmatch(r"(\S+) (asc|desc)", rest)):
            rows.sort(key=lambda line: line[order[1]], reverse=order[2] == "desc")
        elif name == "limit":
            rows = rows[: int(rest)]
        else:
            fail(f"a query has {command}")
    return columns, [[field_of(row, column) for column in columns] for row in rows]


# Drawing.


def clock(second):
    return f"{int(second) // 3600}:{int(second) % 3600 // 60:02}"


def short(number):
    """A number as an axis has it, such as 1.5k."""
    for power, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= power:
            return f"{number / power:.3g}{unit}"
    return f"{number:.3g}"


class Picture:
    """Cards in a grid. Its coordinates are pixels from the top left."""

    def __init__(self, rows):
        # Room for the caption.
        self.height = MARGIN * 2 + rows * ROW + 2 * LINE + 6
        self.figure = pyplot.figure(figsize=(WIDTH / 100, self.height / 100), dpi=100, facecolor="#f2f3f3")
        self.renderer = self.figure.canvas.get_renderer()

    def write(self, x, y, text, font=PLAIN, color=TEXT):
        # Not mathematics, whatever it has.
        text = text.replace("$", r"\$")
        self.figure.text(x / WIDTH, 1 - y / self.height, text, fontproperties=font, color=color, va="top")

    def width(self, text, font=PLAIN):
        return self.renderer.get_text_width_height_descent(text, font, False)[0]

    def cut(self, text, width, font=PLAIN):
        """A text that fits."""
        if self.width(text, font) <= width:
            return text
        while text and self.width(text + "…", font) > width:
            text = text[:-1]
        return text + "…"

    def box(self, x, y, width, height, **style):
        at = (x / WIDTH, 1 - (y + height) / self.height)
        size = (width / WIDTH, height / self.height)
        self.figure.add_artist(Rectangle(at, *size, transform=self.figure.transFigure, zorder=-1, **style))

    def card(self, widget):
        """Draws the frame of a widget. What is left inside: x, y, width, height."""
        column = (WIDTH - 2 * MARGIN) / COLUMNS
        x, y = MARGIN + widget["x"] * column + GAP / 2, MARGIN + widget["y"] * ROW + GAP / 2
        width, height = widget["width"] * column - GAP, widget["height"] * ROW - GAP
        self.box(x, y, width, height, facecolor="white", edgecolor="#d5dbdb", linewidth=0.8)
        return x + 10, y + 8, width - 20, height - 14

    def paragraph(self, x, y, width, text, color=TEXT):
        """Words with **bold** and `code` in lines. Where the next line begins."""
        at = x
        for part in re.split(r"(\*\*.*?\*\*|`.*?`|\*.*?\*)", text):
            mark = re.match(r"\*\*|`|\*|", part)[0]
            font = {"**": BOLD, "`": CODE, "*": BOLD, "": PLAIN}[mark]
            for word in re.findall(r"\S+\s*|\s+", part.strip("*`") if mark else part):
                if at + self.width(word.rstrip(), font) > x + width:
                    at, y = x, y + LINE
                self.write(at, y, word, font, color)
                # The space at the end has a width only between letters.
                at += self.width(f"{word}.", font) - self.width(".", font)
        return y + LINE

    def text_widget(self, widget):
        known(widget["properties"], ["markdown"], "a text")
        x, y, width, _ = self.card(widget)
        lines = [line for line in widget["properties"]["markdown"].split("\n") if line]
        for line in lines:
            if line.startswith("# "):
                self.write(x, y, line[2:], HEADING)
                y += 32
            elif re.match(r"[#>|-]", line):
                fail(f"a text has {line}")
            else:
                y = self.paragraph(x, y, width, line)

    def metric_widget(self, run, widget):
        properties = widget["properties"]
        known(properties, "title view stacked region stat period yAxis metrics".split(), properties.get("title"))
        if properties["view"] != "timeSeries":
            fail(f"{properties['title']} has the view {properties['view']}")
        axis = properties.get("yAxis", {"left": {}})
        known(axis, ["left"], properties["title"])
        known(axis["left"], ["label", "showUnits", "min", "max"], properties["title"])
        x, y, width, height = self.card(widget)
        self.write(x, y, self.cut(properties["title"], width, TITLE), TITLE)
        series = series_of(run, properties)
        bottom = self.legend(x, y + height, width, series)
        top = y + 32
        axes = self.figure.add_axes(
            [(x + 34) / WIDTH, 1 - (bottom - 20) / self.height, (width - 40) / WIDTH, (bottom - 20 - top) / self.height]
        )
        self.plot(run, axes, properties, axis["left"], series)
        if "label" in axis["left"]:
            self.write(x, y + 14, axis["left"]["label"], FontProperties(size=7.5), FAINT)

    def legend(self, x, y, width, series):
        """Draws the legend above `y`. Where it begins."""
        lines, at = [[]], 0
        for it in series:
            label = it.label if it.is_measured else f"{it.label} (not in a local run)"
            needed = 16 + self.width(label) + 10
            if at + needed > width and lines[-1]:
                lines.append([])
                at = 0
            lines[-1].append((at, it, label))
            at += needed
        begin = y - len(lines) * LINE
        for number, line in enumerate(lines):
            for at, it, label in line:
                self.box(x + at, begin + number * LINE + 2, 9, 9, facecolor=it.color, edgecolor="none")
                self.write(x + at + 13, begin + number * LINE, label, PLAIN, TEXT if it.values else FAINT)
        return begin

    def plot(self, run, axes, properties, axis, series):
        shown = [it for it in series if it.values]
        axes.set_xlim(0, run.end)
        if properties["stacked"] and shown:
            seconds = set().union(*(it.values for it in shown))
            seconds = range(min(seconds), max(seconds) + 1, properties["period"])
            axes.stackplot(
                seconds,
                # A layer without a value is as one of 0.
                [[it.values.get(second, 0) for second in seconds] for it in shown],
                colors=[it.color for it in shown],
                alpha=0.75,
                linewidth=0,
            )
        else:
            for it in shown:
                self.line(axes, it.values, properties["period"], it.color)
        if not shown:
            text = "no data" if any(it.is_measured for it in series) else "no data in a local run"
            axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=FAINT, fontsize=9)
        if "min" in axis:
            axes.set_ylim(bottom=axis["min"])
        if "max" in axis:
            axes.set_ylim(top=axis["max"])
        elif not any(value for it in shown for value in it.values.values()):
            axes.set_ylim(0, 1)
        axes.set_xticks(range(0, int(run.end) + 1, 3600))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda second, _: clock(second)))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: short(number)))
        axes.tick_params(labelsize=7.5, colors=FAINT, length=0)
        axes.grid(axis="y", color="#eaeded", linewidth=0.8)
        axes.set_axisbelow(True)
        for side, spine in axes.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color("#aab7b8")

    @staticmethod
    def line(axes, values, period, color):
        """A line with a gap where a period has no value, and a dot where one is alone."""
        seconds, numbers, alone = [], [], []
        for second, number in values.items():
            if seconds and second > seconds[-1] + period:
                seconds.append(second)
                numbers.append(nan)
            seconds.append(second)
            numbers.append(number)
            if second - period not in values and second + period not in values:
                alone.append((second, number))
        axes.plot(seconds, numbers, color=color, linewidth=1.1)
        if alone:
            axes.plot(*zip(*alone, strict=True), color=color, linestyle="none", marker="o", markersize=2.6)

    def alarm_widget(self, widget):
        """Names of alarms. CloudWatch evaluates them, and a run here does not."""
        properties = widget["properties"]
        known(properties, ["title", "alarms"], properties.get("title"))
        x, y, width, height = self.card(widget)
        self.write(x, y, f"{properties['title']} (not evaluated in a local run)", TITLE)
        names = [it.split(":alarm:")[1] for it in properties["alarms"]]
        across = 8
        across_width, high = width / across, (height - 24) / -(-len(names) // across)
        for place, name in enumerate(names):
            left, top = x + place % across * across_width, y + 24 + place // across * high
            self.box(left, top, across_width - 6, high - 6, facecolor="#f2f3f3", edgecolor="#aab7b8", linewidth=0.8)
            self.write(left + 8, top + (high - 6) / 2 - 6, self.cut(name, across_width - 20), PLAIN, FAINT)

    def log_widget(self, run, widget):
        properties = widget["properties"]
        known(properties, "title region view query".split(), properties.get("title"))
        if properties["view"] != "table":
            fail(f"{properties['title']} has the view {properties['view']}")
        x, y, width, height = self.card(widget)
        self.write(x, y, properties["title"], TITLE)
        columns, rows = answer(run, properties["query"])
        cells = [columns] + [[self.cell(column, it) for column, it in zip(columns, row, strict=True)] for row in rows]
        widths = [max(self.width(row[place]) for row in cells) + 14 for place in range(len(columns))]
        # What is too long is so at the cost of the widest.
        while sum(widths) > width:
            widths[widths.index(max(widths))] -= 1
        fit = int((height - 22) // LINE)
        if len(cells) > fit:
            cells = cells[: fit - 1]
            more = f"… {len(rows) - len(cells) + 1} more by scrolling"
            self.write(x, y + 22 + len(cells) * LINE, more, PLAIN, FAINT)
        for number, row in enumerate(cells):
            at = x
            for place, text in enumerate(row):
                shown = self.cut(text, widths[place] - 8)
                is_number = number and not isinstance(rows[number - 1][place], str) and columns[place] != "@timestamp"
                left = at + (widths[place] - 14 - self.width(shown) if is_number and rows else 0)
                self.write(left, y + 22 + number * LINE, shown, BOLD if number == 0 else PLAIN)
                at += widths[place]
        if not rows:
            self.write(x, y + 22 + LINE, "none", PLAIN, FAINT)

    @staticmethod
    def cell(column, it):
        if it is None:
            return ""
        if column == "@timestamp":
            return clock(it)
        return it if isinstance(it, str) else f"{it:.1f}" if isinstance(it, float) else str(it)

    def draw(self, run, widget):
        known(widget, "type x y width height properties".split(), "a widget")
        if widget["type"] == "text":
            self.text_widget(widget)
        elif widget["type"] == "metric":
            self.metric_widget(run, widget)
        elif widget["type"] == "alarm":
            self.alarm_widget(widget)
        elif widget["type"] == "log":
            self.log_widget(run, widget)
        else:
            fail(f"a widget is of the type {widget['type']}")


def main(folder, file):
    template = cfn_yaml.load(TEMPLATE)
    text, own = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    widgets = json.loads(substituted(template, text, own))["widgets"]
    run = Run(folder, template)
    rows = max(it["y"] + it["height"] for it in widgets)
    picture = Picture(rows)
    for widget in widgets:
        picture.draw(run, widget)
    minute, minutes = run.silent
    caption = CAPTION.format(seconds=run.minute / 1000, silent=clock(minute * 60), minutes=minutes)
    picture.paragraph(MARGIN + 12, MARGIN + rows * ROW + 4, WIDTH - 2 * MARGIN - 24, caption, FAINT)
    picture.figure.savefig(file)
    # A palette is a third of the size. This method keeps the colors of thin lines.
    Image.open(file).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(file)
    print(f"{file}: {len(widgets)} widgets, {file.stat().st_size // 1000} kB")
    for widget in widgets:
        if widget["type"] == "metric":
            empty = [it.label for it in series_of(run, widget["properties"]) if not it.values]
            if empty:
                print(f"  without data: {widget['properties']['title']}: {', '.join(empty)}")


main(Path(sys.argv[1]), Path(sys.argv[2]))
