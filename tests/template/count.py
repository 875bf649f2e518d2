"""Counts the resources that template.yaml becomes, and reads its dashboard.

CloudFormation takes 500 resources a stack, and SAM makes several of one: a fifth stays in reserve, so that the next
functions fit. Prints the resources by type.
"""

import collections
import json
import os
import re
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

LIMIT = 400


class ManagedPolicies:
    """SAM asks IAM for the ARNs of policies that a template names by their names."""

    def load(self):
        return {"AWSLambdaBasicExecutionRole": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}


def main(path):
    template = yaml_parse(open(path).read())
    parameters = {name: spec.get("Default", "x") for name, spec in template["Parameters"].items()}
    # Code is where it is built; SAM wants to see it packaged.
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    made = transform(template, parameters, ManagedPolicies())["Resources"]
    kinds = collections.Counter(resource["Type"] for resource in made.values())
    for kind, count in kinds.most_common():
        print(f"{count:5} {kind}")
    print(f"{len(made):5} resources, of at most {LIMIT}")
    if len(made) > LIMIT:
        sys.exit(f"{path}: SAM makes {len(made)} resources of it, more than {LIMIT}")
    for name, resource in made.items():
        if resource["Type"] == "AWS::CloudWatch::Dashboard":
            body = resource["Properties"]["DashboardBody"]["Fn::Sub"]
            widgets = json.loads(re.sub(r"\$\{[A-Za-z.:]+\}", "x", body))["widgets"]
            print(f"{len(widgets):5} widgets in {name}")


main(sys.argv[1])
