"""Prints what the official Python clients of OpenAI and Anthropic make of the gateway at ROSTER_URL."""

import json
import os

import anthropic
import openai

URL = os.environ["ROSTER_URL"]
TOKEN = os.environ["ROSTER_TOKEN"]


def refusal(call):
    try:
        return {"answered": str(call())}
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        return {"class": type(error).__name__, "status": error.status_code, "body": error.response.json()}


def of_openai(key):
    return openai.OpenAI(base_url=f"{URL}/openai/v1", api_key=key, max_retries=0)


def of_anthropic(key):
    return anthropic.Anthropic(base_url=f"{URL}/anthropic", api_key=key, max_retries=0)


ours, theirs = of_openai(TOKEN).models, of_anthropic(TOKEN).models
listed = list(ours.list())
print(json.dumps({
    "openai": {
        "listed": [model.to_dict() for model in listed],
        "created": sorted({type(model.created).__name__ for model in listed}),
        "one": ours.retrieve("acme/one").to_dict(),
        "alias": ours.retrieve("one-latest").id,
        "unknown": refusal(lambda: ours.retrieve("acme/none")),
        "archived": refusal(lambda: ours.retrieve("acme/gone")),
        "unavailable": refusal(lambda: ours.retrieve("acme/resting")),
        "token": refusal(lambda: of_openai("no-token").models.list()),
    },
    "anthropic": {
        "pages": [[model.id for model in page.data] for page in theirs.list(limit=2).iter_pages()],
        "back": [[model.id for model in page.data] for page in theirs.list(limit=2, before_id="acme/one").iter_pages()],
        "deprecated": [model.id for model in theirs.list(lifecycle=["deprecated"])],
        "one": theirs.retrieve("acme/one").to_dict(mode="json"),
        "old": theirs.retrieve("acme/old").to_dict(mode="json"),
        "unknown": refusal(lambda: theirs.retrieve("acme/none")),
        "archived": refusal(lambda: theirs.retrieve("acme/gone")),
        "limit": refusal(lambda: theirs.list(limit=1001)),
        "token": refusal(lambda: of_anthropic("no-token").models.list()),
    },
}))
