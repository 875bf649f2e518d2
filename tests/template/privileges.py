"""Compares what each function called of DynamoDB with what template.yaml grants it.

usage: privileges.py template.yaml RECORDED

RECORDED has what the functions called while the end-to-end tests ran with the real artifacts (tests/src/recorder.rs).
Both are brought to one form: function, action, table, and kind of partition key, which is a whole key such as `head`, or
what stands before its first `#`, as in `chunk#*`. A grant without keys grants every kind that any function calls on that
table. What is called and not granted fails, and so does what is granted and never called. What Lambda does for a function,
reading its streams and sending its dead letters, is compared with its event sources. What this cannot read fails: managed
policies but for the log, which SAM adds, denials, other conditions, and patterns of keys that are no kind.
"""

import collections
import json
import re
import sys

from transformed import resources

# Grants that the tests do not reach, and why that is so.
UNREACHED = {
    ("notify", "sns:Publish", "NoticesTopic", "*"): "there is no SNS here; the topic has tests of its own",
    ("check-drift", "dynamodb:DeleteItem", "RuntimeTable", "override"): (
        "it takes a record that somebody changed by hand back to before its override"
    ),
}

# Writing the log.
MANAGED = "AWSLambdaBasicExecutionRole"

KIND = re.compile(r"[a-z-]+(#\*)?")

# What Lambda needs to read a stream (https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html),
# each with what follows the table in the ARN that it is granted on.
READING = {
    "dynamodb:DescribeStream": "StreamArn",
    "dynamodb:GetRecords": "StreamArn",
    "dynamodb:GetShardIterator": "StreamArn",
    "dynamodb:ListStreams": "/stream/*",
}
OF_EVENT_SOURCES = {*READING, "sqs:SendMessage"}


def listed(value):
    return value if isinstance(value, list) else [value]


def target(resource):
    """The logical id of what a grant is for, with an index of it."""
    if not isinstance(resource, dict):
        sys.exit(f"a grant is for {resource}: name the table, the topic or the queue")
    if "Fn::GetAtt" in resource:
        return resource["Fn::GetAtt"][0]
    if "Ref" in resource:
        return resource["Ref"]
    # ${HistoryTable.Arn}/index/by-day
    return resource["Fn::Sub"].removeprefix("${").replace(".Arn}", "")


def statements(made):
    """What each function is allowed: its name, and the statements of its role."""
    for name, resource in made.items():
        if resource["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"):
            sys.exit(f"{name}: a policy of its own is not compared here: grant it to the function")
    for resource in made.values():
        if resource["Type"] != "AWS::Lambda::Function":
            continue
        function = resource["Properties"]["Handler"]
        role = made[resource["Properties"]["Role"]["Fn::GetAtt"][0]]["Properties"]
        for managed in role.get("ManagedPolicyArns", []):
            if not str(managed).rstrip("'}").endswith(MANAGED):
                sys.exit(f"{function}: the managed policy {managed} grants what is not compared here")
        found = [s for policy in role.get("Policies", []) for s in policy["PolicyDocument"]["Statement"]]
        for statement in found:
            condition = statement.get("Condition", {})
            keys = condition.get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", "*")
            known = [{}, {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": keys}}]
            if condition not in known or statement["Effect"] != "Allow":
                sys.exit(f"{function}: this does not know the statement {statement}")
            yield function, listed(statement["Action"]), listed(statement["Resource"]), listed(keys)


def grants(made):
    """Each function's grants: (function, action, target, kind of key), `*` where every kind is granted."""
    found = set()
    for function, actions, targets, keys in statements(made):
        for kind in keys:
            if kind != "*" and not KIND.fullmatch(kind):
                sys.exit(f"{function}: {kind} is no kind of keys: name whole keys, or kind#*")
        of_function = set(actions) - OF_EVENT_SOURCES
        found.update((function, action, target(to), kind) for action in of_function for to in targets for kind in keys)
    return found


def event_sources(made):
    """What Lambda is granted to read streams and send dead letters, and what it needs for that, as one form."""
    granted, needed = set(), set()
    for function, actions, targets, _ in statements(made):
        for action in OF_EVENT_SOURCES.intersection(actions):
            granted.update((function, action, json.dumps(to)) for to in targets)
    for resource in made.values():
        if resource["Type"] != "AWS::Lambda::EventSourceMapping":
            continue
        mapping = resource["Properties"]
        function = made[named(mapping["FunctionName"], made)]["Properties"]["Handler"]
        table, _ = mapping["EventSourceArn"]["Fn::GetAtt"]
        for action, place in READING.items():
            stream = {"Fn::GetAtt": [table, place]} if place == "StreamArn" else {"Fn::Sub": f"${{{table}.Arn}}{place}"}
            needed.add((function, action, json.dumps(stream)))
        needed.add((function, "sqs:SendMessage", json.dumps(mapping["DestinationConfig"]["OnFailure"]["Destination"])))
    return granted, needed


def named(name, made):
    """The logical id of the function that a mapping's name refers to, by its alias or not."""
    while made[name["Ref"]]["Type"] == "AWS::Lambda::Alias":
        name = made[name["Ref"]]["Properties"]["FunctionName"]
    return name["Ref"]


def calls(path, tables):
    """What was called: (function, action, target, kind of key). Scans have no key, and those of an index are one kind."""
    found = set()
    for line in open(path):
        call = json.loads(line)
        table = tables[call["table"]]
        index = f"/index/{call['index']}" if call["index"] else ""
        kind = re.sub("#.*", "#*", call["key"] or "*", flags=re.DOTALL)
        found.add((call["function"], f"dynamodb:{call['action']}", table + index, "*" if index else kind))
    return found


def main(template, recorded):
    made = resources(template)
    stage = "dev"
    tables = {
        resource["Properties"]["TableName"]["Fn::Sub"].replace("${Stage}", stage): name
        for name, resource in made.items()
        if resource["Type"] == "AWS::DynamoDB::Table"
    }
    functions = {r["Properties"]["Handler"] for r in made.values() if r["Type"] == "AWS::Lambda::Function"}
    granted, called = grants(made), calls(recorded, tables)
    kinds = collections.defaultdict(set)
    for _, _, where, kind in called:
        kinds[where].add(kind)
    # A scan has no key, and neither has what is sent to a topic or asked of an index.
    granted = {
        (function, action, where, each)
        for function, action, where, kind in granted
        for each in (kinds[where] - {"*"} if kind == "*" and action != "dynamodb:Scan" else {kind}) or {"*"}
    }
    problems = []
    for function, action, where, kind in sorted(called - granted):
        problems.append(f"{function} called {action} on {where}, key {kind}, which it is not granted")
    for function, action, where, kind in sorted(granted - called - set(UNREACHED)):
        problems.append(f"{function} is granted {action} on {where} for keys {kind}, and never called it")
    for grant in sorted(set(UNREACHED) - (granted - called)):
        problems.append(f"{grant} is listed as unreached, and is reached or not granted")
    by_lambda, for_lambda = event_sources(made)
    for function, action, where in sorted(for_lambda - by_lambda):
        problems.append(f"{function} has an event source that needs {action} on {where}, which it is not granted")
    for function, action, where in sorted(by_lambda - for_lambda):
        problems.append(f"{function} is granted {action} on {where}, and has no event source that needs it")
    idle = functions - {function for function, *_ in granted}
    print(f"{len(functions)} functions, {len(granted)} grants, {len(called)} kinds of calls")
    print(f"{len(by_lambda)} grants for event sources")
    print(f"without any grant: {', '.join(sorted(idle))}")
    if problems:
        sys.exit("\n".join(problems))
    print(f"each grant is needed and each call is granted; unreached, with a reason: {len(UNREACHED)}")


main(*sys.argv[1:])
