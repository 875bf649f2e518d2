"""Checks that a browser's preflight is answered on every path.

An API with binary media types takes every body for binary, also the empty one of a preflight: a mock that does not
convert it to text answers 500, which the local stack cannot show.
"""

import sys

from transformed import resources

METHODS = {"get", "head", "post", "put", "patch", "delete"}


def main(path):
    body = resources(path)["Api"]["Properties"]["Body"]
    binary = body.get("x-amazon-apigateway-binary-media-types", [])
    wrong = []
    for route, operations in body["paths"].items():
        if not METHODS & operations.keys():
            wrong.append(f"{route} has a preflight, and no function")
        integration = operations.get("options", {}).get("x-amazon-apigateway-integration", {})
        if integration.get("type") != "mock":
            wrong.append(f"{route} has no preflight")
        elif binary and integration.get("contentHandling") != "CONVERT_TO_TEXT":
            wrong.append(f"{route} has a preflight that fails on a binary body")
    if wrong:
        sys.exit("\n".join(f"{path}: {line}" for line in wrong))
    print(f"{len(body['paths']):5} paths, each with a preflight")


main(sys.argv[1])
