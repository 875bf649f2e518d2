# The story of two canaries, for scripts/demo rollout: one is promoted and one is rolled back, by what is measured of
# them alone. It is read by scripts/demo, which has what it uses.

patience=180 # a step is measured by the minute

versions_of() {
    cat <<JSON
  "versions": [{ "version": "1.0.0", "status": "active" }, { "version": "2.0.0", "status": "canary" }],
  "rollout": {
    "version": "2.0.0",
    "steps": [{ "weightPercent": 5, "holdHours": 0 }, { "weightPercent": 50, "holdHours": 0 }, { "weightPercent": 100, "holdHours": 0 }]
  }
}
JSON
}

# Gives a model a canary beside its active version.
with_canary() {
    local file
    file=$(file_of "$1")
    sed '$d' "$file" | sed '$s/}$/},/' >"$file.new"
    versions_of >>"$file.new"
    mv "$file.new" "$file"
}

post() { # post PATH BODY [curl arguments]
    local path=$1 body=$2
    shift 2
    curl --silent --show-error --request POST --header 'content-type: application/json' "$@" --data "$body" "$url$path"
}

field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"; }
resolved() { post /v1/resolve "{\"model\":\"$1\",\"key\":\"$2\"}"; }

# Of a hundred callers, how many get the new version: share MODEL LEAST MOST.
share() {
    local caller count=0
    for caller in $(seq 100); do
        if resolved "$1" "caller-$caller" | grep -q '"version":"2.0.0","version_status"'; then count=$((count + 1)); fi
    done
    echo "    $count of 100 callers of $1 get 2.0.0"
    expect "that is $2 to $3" test "$count" -ge "$2" -a "$count" -le "$3"
}

# Sends results of a model's canary, of which every FAILING-th failed; 0 is none.
batch=0
measure() { # measure MODEL COUNT FAILING
    local results="" n success
    batch=$((batch + 1))
    for n in $(seq "$2"); do
        success=true
        if (($3 > 0 && n % $3 == 0)); then success=false; fi
        results+="{\"model\":\"$1\",\"version\":\"2.0.0\",\"success\":$success,\"latencyMs\":$((700 + n)),\"confidence\":0.9},"
    done
    post /v1/inferences "{\"id\":\"batch-$batch\",\"results\":[${results%,}]}" \
        --header "authorization: Bearer $service" >/dev/null
}

state_of() { resolved "$1" demo | sed -n 's/.*"rollout":{\(.*\)}.*/\1/p' | field state; }
is_in_state() { # is_in_state MODEL STATE FAILING: results go on while we wait
    measure "$1" 60 "$3"
    [[ $(state_of "$1") == "$2" ]]
}
began() { [[ $(state_of "$1") == running ]]; }

say "Two models, each with a version 2.0.0 beside 1.0.0, and roster dev following them."
git init --quiet --initial-branch=main "$repository"
for id in good-1 bad-1; do
    write_model "$id" 1250 10000
    with_canary "$id"
done
git_in add --all
git_in commit --quiet --message "Bring out 2.0.0 of good-1 and bad-1: 5%, 50%, all"
: >"$log"
"$roster" dev --repo "$repository" --data "$data" --port 0 --schedule-seconds 2 >"$log" 2>&1 &
pid=$!
await "roster dev to answer" grep -q '^Roster answers at http' "$log"
url=$(sed -n 's/^Roster answers at \(http[^,]*\),.*/\1/p' "$log")
await "the first revision" serves_commit "$(head_of)"
service=$("$roster" token --role service --sub meter --data "$data")
admin=$("$roster" token --role admin --sub ann --data "$data")

say "The controller begins both: a twentieth of the callers get 2.0.0, always the same ones."
await "good-1 to begin" began good-1
await "bad-1 to begin" began bad-1
share good-1 1 15
share bad-1 1 15

say "Callers report what they see. Of bad-1's results every fifth is a failure; good-1's are good."
echo "  (results count from the next whole minute on)"
await "bad-1 to be rolled back" is_in_state bad-1 rolled_back 5
share bad-1 0 0
await "good-1 to be promoted" is_in_state good-1 promoted 0
share good-1 100 100

say "What happened, and why:"
story() { "$roster" history "$1" --data "$data" | grep -v '^ *$'; }
show "roster history good-1" story good-1
show "roster history bad-1" story bad-1
expect "good-1 went by its steps" grep -q 'took over from 1.0.0' <<<"$(story good-1)"
expect "bad-1 was rolled back for its errors" grep -q 'was rolled back to 1.0.0: an error rate' <<<"$(story bad-1)"

say "What somebody should know of:"
alerts() {
    curl --silent --header "authorization: Bearer $admin" "$url/admin/alerts" |
        sed 's/{"at"/\'$'\n''{"at"/g' | sed -n 's/.*"message":"\([^"]*\)".*"modelId":"\([^"]*\)".*"severity":"\([a-z]*\)".*/\3  \2  \1/p'
}
show "curl $url/admin/alerts   # severity, model, message" alerts
expect "the rollback is critical" grep -q '^critical  bad-1' <<<"$(alerts)"

say "For bad-1's file the same is proposed, as a branch to review:"
proposal() { git_in for-each-ref --format='%(refname:short)' refs/heads | grep -v '^main$'; }
await "the proposal" proposal >/dev/null
show "git diff main...$(proposal)" git_in diff --unified=0 "main...$(proposal)" -- '*.json'
expect "it sets 2.0.0 to inactive" grep -q '^+.*inactive' <<<"$(git_in diff "main...$(proposal)")"

say "A poll does not bring 2.0.0 back; a commit that says it anew would."
expect "bad-1 is still rolled back" test "$(state_of bad-1)" = rolled_back

say "Stop."
kill "$pid"
wait "$pid" || true
pid=""
say "demo: all of it held"
