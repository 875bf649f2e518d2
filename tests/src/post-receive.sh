#!/bin/sh
# What a forge does after a push: tells a webhook of each reference that moved, signed with the secret that both know.
# `git config` says where the webhook is and which forge to be; without an address nobody is told. Each delivery is a
# line of the file "deliveries": when it began in nanoseconds, the commit, status and seconds of the answer, the answer.
set -eu
began=$(date +%s%N)
url=$(git config webhook.url) || exit 0
forge=$(git config webhook.forge)
secret=$(git config webhook.secret)
home=$(git config webhook.home)

while read -r before after ref; do
    set --
    moved=$(printf '"ref":"%s","before":"%s","after":"%s"' "$ref" "$before" "$after")
    case $forge in
    gitlab)
        body=$(printf '{"object_kind":"push",%s,"project":{"web_url":"%s","git_http_url":"%s.git"}}' "$moved" "$home" "$home")
        set -- -H 'X-Gitlab-Event: Push Hook' -H "X-Gitlab-Token: $secret"
        ;;
    *)
        body=$(printf '{%s,"repository":{"html_url":"%s","clone_url":"%s.git"}}' "$moved" "$home" "$home")
        signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$secret" | sed 's/.* //')
        set -- -H 'X-GitHub-Event: push' -H "X-Hub-Signature-256: sha256=$signature"
        [ "$forge" = github ] || set -- "$@" -H 'X-Gitea-Event: push' -H "X-Gitea-Signature: $signature"
        ;;
    esac
    answer=$(printf %s "$body" | curl --silent --show-error --noproxy '*' -w ' %{http_code} %{time_total}' \
        -H 'Content-Type: application/json' "$@" --data-binary @- "$url")
    # "<answer> <status> <seconds>"
    seconds=${answer##* } && answer=${answer% *} && status=${answer##* } && answer=${answer% *}
    printf '%s %s %s %s %s\n' "$began" "$after" "$status" "$seconds" "$answer" >>deliveries
done
