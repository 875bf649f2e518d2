"""Holds the alarms and the dashboard against what the functions count.

An alarm on a metric that nobody counts is silent for ever, and a metric of another dimension is another metric: a name
that changes on one side only is found here.
"""

import json
import pathlib
import re
import sys

from transformed import resources

NAMESPACE = "Roster/${Stage}"
ROOT = pathlib.Path(__file__).parents[2]
COUNTED = re.compile(r'\b(?:counter|gauge|histogram)!\(\s*"(\w+)"((?:,\s*"\w+"\s*=>\s*[^,)]+)*)\s*,?\s*\)')
LABEL = re.compile(r'"(\w+)"\s*=>')


def code():
    """The code of what is deployed, tests left out."""
    folders = [*ROOT.glob("functions/*/src"), *ROOT.glob("shared/*/src")]
    files = sorted(file for folder in folders for file in folder.rglob("*.rs"))
    return "\n".join(file.read_text().split("#[cfg(test)]\nmod tests {")[0] for file in files)


def text(value):
    return value["Fn::Sub"] if isinstance(value, dict) and "Fn::Sub" in value else value


def alarmed(made):
    """The metrics of the namespace that alarms ask for: who asks, the name, and the dimensions."""
    for alarm, resource in made.items():
        if resource["Type"] != "AWS::CloudWatch::Alarm":
            continue
        properties = resource["Properties"]
        asked = [query["MetricStat"]["Metric"] for query in properties.get("Metrics", []) if "MetricStat" in query]
        for metric in asked or [properties]:
            if text(metric["Namespace"]) == NAMESPACE:
                dimensions = {text(dimension["Name"]): text(dimension["Value"]) for dimension in metric.get("Dimensions", [])}
                yield alarm, metric["MetricName"], dimensions


def shown(made):
    """Those that the dashboard shows."""
    boards = [resource for resource in made.values() if resource["Type"] == "AWS::CloudWatch::Dashboard"]
    if not boards:
        sys.exit("there is no dashboard")
    for board in boards:
        for widget in json.loads(text(board["Properties"]["DashboardBody"]))["widgets"]:
            last = []
            for metric in widget["properties"]["metrics"]:
                names = [part for part in metric if isinstance(part, str)]
                # Three points stand for what the metric before has there.
                if names[0] == "...":
                    names = last[: len(last) - len(names) + 1] + names[1:]
                last = names
                if names[0] == NAMESPACE:
                    yield widget["properties"]["title"], names[1], dict(zip(names[2::2], names[3::2]))


def main(path):
    made, source = resources(path), code()
    counted = {name: set(LABEL.findall(labels)) for name, labels in COUNTED.findall(source)}
    wrong = []
    for name, resource in made.items():
        if resource["Type"] == "AWS::Logs::MetricFilter":
            pattern = resource["Properties"]["FilterPattern"]
            for message in re.findall(r'"([^"]+)"', pattern):
                if f'"{message}"' not in source:
                    wrong.append(f"{name} waits for a line that nothing logs: {message}")
            for metric in resource["Properties"]["MetricTransformations"]:
                counted[metric["MetricName"]] = set()
    asked = [*alarmed(made), *shown(made)]
    for who, name, dimensions in asked:
        if name not in counted:
            wrong.append(f"{who} asks for {name}, which nothing counts")
        elif counted[name] != set(dimensions):
            wrong.append(f"{who} asks for {name} by {sorted(dimensions)}, and it is counted by {sorted(counted[name])}")
        for value in dimensions.values():
            if not re.search(rf'"{re.escape(value)}"', source):
                wrong.append(f"{who} asks for {name} of {value}, which nothing is named")
    if wrong:
        sys.exit("\n".join(f"{path}: {line}" for line in wrong))
    print(f"{len(counted):5} metrics are counted, {len({name for _, name, _ in asked})} of them asked for")


main(sys.argv[1])
