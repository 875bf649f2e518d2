"""Counts the resources that template.yaml becomes and the readers of its streams, and reads its dashboard.

CloudFormation takes 500 resources a stack, and SAM makes several of one: a fifth stays in reserve, so that the next
functions fit. Prints the resources by type. More than two readers of a stream's shard may be throttled
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html).
"""

import collections
import json
import re
import sys

from transformed import resources

LIMIT = 400
READERS = 2


def main(path):
    made = resources(path)
    kinds = collections.Counter(resource["Type"] for resource in made.values())
    for kind, count in kinds.most_common():
        print(f"{count:5} {kind}")
    print(f"{len(made):5} resources, of at most {LIMIT}")
    if len(made) > LIMIT:
        sys.exit(f"{path}: SAM makes {len(made)} resources of it, more than {LIMIT}")
    mappings = [r["Properties"] for r in made.values() if r["Type"] == "AWS::Lambda::EventSourceMapping"]
    readers = collections.Counter(mapping["EventSourceArn"]["Fn::GetAtt"][0] for mapping in mappings)
    for table, count in readers.items():
        print(f"{count:5} readers of the stream of {table}, of at most {READERS}")
        if count > READERS:
            sys.exit(f"{path}: {count} functions read the stream of {table}, more than {READERS}")
    if not kinds["AWS::CloudWatch::Dashboard"]:
        sys.exit(f"{path}: there is no dashboard")
    for name, resource in made.items():
        if resource["Type"] == "AWS::CloudWatch::Dashboard":
            body = resource["Properties"]["DashboardBody"]["Fn::Sub"]
            widgets = json.loads(re.sub(r"\$\{[A-Za-z.:]+\}", "x", body))["widgets"]
            print(f"{len(widgets):5} widgets in {name}")


main(sys.argv[1])
