// A GitHub that enforces GitHub's own description of its API (npm package @octokit/openapi):
// a request that breaks the description is answered with what is wrong with it, and so is an answer of this
// server that breaks it. Each repository of acme keeps its own refs, commits, files, comments, statuses and pull
// requests, comes to be when it is first asked for, and plays its own faults.
//
//   GITHUB_OPENAPI=…/api.github.com.deref.json node server.mjs      prints "listening on http://127.0.0.1:PORT"
//
// Tests speak to it beside the API: POST /_control/REPO/{seed,fault,race}, GET /_control/REPO/state.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import addFormats from "ajv-formats";
import { OpenAPIBackend } from "openapi-backend";

const OPERATIONS = [
  ["get", "/user"],
  ["get", "/repos/{owner}/{repo}/issues/{issue_number}/comments"],
  ["post", "/repos/{owner}/{repo}/issues/{issue_number}/comments"],
  ["patch", "/repos/{owner}/{repo}/issues/comments/{comment_id}"],
  ["get", "/repos/{owner}/{repo}/commits/{ref}/statuses"],
  ["post", "/repos/{owner}/{repo}/statuses/{sha}"],
  ["get", "/repos/{owner}/{repo}/commits/{commit_sha}/pulls"],
  ["get", "/repos/{owner}/{repo}/git/ref/{ref}"],
  ["post", "/repos/{owner}/{repo}/git/refs"],
  ["patch", "/repos/{owner}/{repo}/git/refs/{ref}"],
  ["get", "/repos/{owner}/{repo}/contents/{path}"],
  ["put", "/repos/{owner}/{repo}/contents/{path}"],
  ["delete", "/repos/{owner}/{repo}/contents/{path}"],
  ["get", "/repos/{owner}/{repo}/pulls"],
  ["post", "/repos/{owner}/{repo}/pulls"],
  ["patch", "/repos/{owner}/{repo}/pulls/{pull_number}"],
];

// ---- The description, cut to the operations that are served.

const whole = JSON.parse(readFileSync(process.env.GITHUB_OPENAPI, "utf8"));
const paths = {};
for (const [method, path] of OPERATIONS) {
  const { parameters, [method]: operation } = whole.paths[path];
  // The description lets any key pass; one that it does not know is a mistake all the same.
  const body = operation.requestBody?.content["application/json"].schema;
  if (body?.type === "object") body.additionalProperties = false;
  // Errors are "one of" forms that all errors have, so that none could be told from the others.
  for (const [status, { content }] of Object.entries(operation.responses)) {
    const schema = content?.["application/json"]?.schema;
    if (status < "400" || !schema?.oneOf) continue;
    schema.anyOf = schema.oneOf;
    delete schema.oneOf;
  }
  paths[path] = { ...paths[path], ...(parameters && { parameters }), [method]: operation };
}
const api = new OpenAPIBackend({
  definition: { openapi: whole.openapi, info: whole.info, paths },
  customizeAjv: (ajv) => addFormats(ajv),
  ajvOpts: { strict: false, coerceTypes: true, formats: { "repo.nwo": true } },
});

// ---- The state.

const OWNER = "acme";
const people = {
  "token-of-the-bot": { login: "github-actions[bot]", id: 41898282, type: "Bot" },
  "token-of-ada": { login: "ada", id: 1, type: "User" },
  "token-that-only-reads": { login: "github-actions[bot]", id: 41898282, type: "Bot", reads: true },
};
const stranger = { login: "mallory", id: 3, type: "User" };
const worlds = new Map(); // name of a repository -> what is in it
let ids = 100;

function world(name) {
  if (!worlds.has(name)) {
    const made = {
      name,
      commits: new Map(), // sha -> { files: Map(path -> text), parent, message }
      refs: new Map(), // "heads/main" -> sha
      comments: [],
      statuses: [],
      pulls: [],
      requests: [], // "METHOD /path status"
      violations: [], // requests and answers that broke the description
      faults: [], // { method, path, times, status, headers, body }
      races: [], // { method, path, branch, file, content, create }
    };
    commit(made, "main", (files) => files.set("README.md", "Models\n"), "first");
    worlds.set(name, made);
  }
  return worlds.get(name);
}

const sha1 = (text) => createHash("sha1").update(text).digest("hex");
const blob = (text) => sha1(`blob ${Buffer.byteLength(text)}\0${text}`);

function commit(w, branch, change, message) {
  const parent = w.refs.get(`heads/${branch}`);
  const files = new Map(parent ? w.commits.get(parent).files : []);
  change(files);
  const sha = sha1(JSON.stringify([parent, message, [...files], ++ids]));
  w.commits.set(sha, { files, parent, message });
  w.refs.set(`heads/${branch}`, sha);
  return sha;
}

const history = (w, sha) => (sha ? [sha, ...history(w, w.commits.get(sha).parent)] : []);
const resolve = (w, ref) => w.refs.get(`heads/${ref}`) ?? (w.commits.has(ref) ? ref : undefined);

class Answer {
  constructor(status, body, headers = {}) {
    Object.assign(this, { status, body, headers });
  }
}
const fail = (status, message, errors, headers) =>
  new Answer(status, { message, ...(errors && { errors }), documentation_url: "https://docs.github.com/rest", status: String(status) }, headers);

// ---- What answers look like: GitHub's own examples, with what this server knows laid over them.

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
function over(base, known) {
  if (!isObject(base) || !isObject(known)) return known;
  const out = { ...base };
  for (const [key, value] of Object.entries(known)) out[key] = over(base[key], value);
  return out;
}
const examples = new Map();
function example(operationId, status) {
  const key = `${operationId} ${status}`;
  if (!examples.has(key)) {
    const { mock } = api.mockResponseForOperation(operationId, { code: status });
    examples.set(key, Array.isArray(mock) ? mock[0] : mock);
  }
  return structuredClone(examples.get(key));
}
const person = ({ login, id, type }) => ({ login, id, type });
const url = (w, rest) => `https://github.com/${OWNER}/${w.name}/${rest}`;
const shownComment = (w, comment) =>
  over(example("issues/create-comment", 201), {
    id: comment.id,
    html_url: url(w, `pull/${comment.issue}#issuecomment-${comment.id}`),
    body: comment.body,
    user: person(comment.user),
  });
const shownStatus = (w, status) =>
  over(example("repos/create-commit-status", 201), {
    id: status.id,
    state: status.state,
    description: status.description ?? null,
    target_url: status.target_url ?? null,
    context: status.context,
  });
const shownRef = (w, ref) =>
  over(example("git/get-ref", 200), { ref: `refs/${ref}`, object: { type: "commit", sha: w.refs.get(ref) } });
const shownPull = (w, pull, operationId, status) =>
  over(example(operationId, status), {
    number: pull.number,
    html_url: url(w, `pull/${pull.number}`),
    state: pull.state,
    title: pull.title,
    body: pull.body ?? null,
    // The example's team lacks what the description requires of a team.
    requested_teams: [],
    head: { ref: pull.head, sha: w.refs.get(`heads/${pull.head}`) },
    base: { ref: pull.base, sha: w.refs.get(`heads/${pull.base}`) },
  });

function page(request, c, items) {
  const size = Number(c.request.query.per_page ?? 30);
  const at = Number(c.request.query.page ?? 1);
  if (size > 100) throw fail(422, "per_page is at most 100");
  const headers = {};
  if (at * size < items.length) {
    const next = new URL(request.url, `http://${request.headers.host}`);
    next.searchParams.set("page", String(at + 1));
    headers.link = `<${next}>; rel="next"`;
  }
  return new Answer(200, items.slice((at - 1) * size, at * size), headers);
}

// ---- The operations.

function file(c) {
  return decodeURIComponent(c.request.params.path);
}

function write(w, c, status, change) {
  const { branch = "main", sha, message } = c.request.requestBody;
  const path = file(c);
  if (!w.refs.has(`heads/${branch}`)) return fail(404, `Branch ${branch} not found`);
  const old = w.commits.get(w.refs.get(`heads/${branch}`)).files.get(path);
  if (old !== undefined && !sha) return fail(422, 'Invalid request.\n\n"sha" wasn\'t supplied.');
  if (sha && (old === undefined || blob(old) !== sha)) return fail(409, `${path} does not match ${sha}`);
  const made = commit(w, branch, (files) => change(files, path), message);
  const shown = over(example(status === "put" ? "repos/create-or-update-file-contents" : "repos/delete-file", 200), {
    commit: { sha: made, message },
  });
  return new Answer(status === "put" && old === undefined ? 201 : 200, shown);
}

const handlers = {
  "users/get-authenticated": (w, c, request) =>
    request.me.type === "Bot"
      ? fail(403, "Resource not accessible by integration")
      : new Answer(200, over(example("users/get-authenticated", 200), person(request.me))),
  "issues/list-comments": (w, c, request) =>
    page(request, c, w.comments.filter((comment) => String(comment.issue) === c.request.params.issue_number).map((comment) => shownComment(w, comment))),
  "issues/create-comment": (w, c, request) => {
    const comment = { id: ++ids, issue: Number(c.request.params.issue_number), body: c.request.requestBody.body, user: request.me };
    w.comments.push(comment);
    return new Answer(201, shownComment(w, comment), { location: url(w, `comments/${comment.id}`) });
  },
  "issues/update-comment": (w, c, request) => {
    const comment = w.comments.find((comment) => String(comment.id) === c.request.params.comment_id);
    if (!comment) return fail(404, "Not Found");
    comment.body = c.request.requestBody.body;
    return new Answer(200, shownComment(w, comment));
  },
  "repos/list-commit-statuses-for-ref": (w, c, request) =>
    page(request, c, w.statuses.filter((status) => status.sha === resolve(w, c.request.params.ref)).toReversed().map((status) => shownStatus(w, status))),
  "repos/create-commit-status": (w, c, request) => {
    const { sha } = c.request.params;
    if (!w.commits.has(sha)) return fail(422, `No commit found for SHA: ${sha}`);
    const status = { id: ++ids, sha, context: "default", ...c.request.requestBody };
    if ((status.description ?? "").length > 140) {
      return fail(422, "Validation Failed", [{ resource: "Status", code: "custom", field: "description", message: "description is too long (maximum is 140 characters)" }]);
    }
    w.statuses.push(status);
    return new Answer(201, shownStatus(w, status), { location: url(w, `statuses/${sha}`) });
  },
  "repos/list-pull-requests-associated-with-commit": (w, c, request) => {
    const of = w.pulls.filter((pull) => history(w, w.refs.get(`heads/${pull.head}`)).includes(c.request.params.commit_sha));
    return page(request, c, of.map((pull) => shownPull(w, pull, "pulls/list", 200)));
  },
  "git/get-ref": (w, c, request) => {
    const ref = decodeURIComponent(c.request.params.ref);
    return w.refs.has(ref) ? new Answer(200, shownRef(w, ref)) : fail(404, "Not Found");
  },
  "git/create-ref": (w, c, request) => {
    const { ref, sha } = c.request.requestBody;
    const name = ref.replace(/^refs\//, "");
    if (w.refs.has(name)) return fail(422, "Reference already exists");
    if (!w.commits.has(sha)) return fail(422, "Object does not exist");
    w.refs.set(name, sha);
    return new Answer(201, shownRef(w, name), { location: url(w, name) });
  },
  "git/update-ref": (w, c, request) => {
    const ref = decodeURIComponent(c.request.params.ref);
    const { sha, force } = c.request.requestBody;
    if (!w.refs.has(ref)) return fail(422, "Reference does not exist");
    if (!force && !history(w, sha).includes(w.refs.get(ref))) return fail(422, "Update is not a fast forward");
    w.refs.set(ref, sha);
    return new Answer(200, shownRef(w, ref));
  },
  "repos/get-content": (w, c, request) => {
    const at = resolve(w, c.request.query.ref ?? "main");
    const text = at && w.commits.get(at).files.get(file(c));
    if (text === undefined) return fail(404, "Not Found");
    // GitHub breaks its base64 into lines.
    const content = Buffer.from(text).toString("base64").replace(/.{60}/g, "$&\n") + "\n";
    const name = file(c).split("/").at(-1);
    const shown = { type: "file", encoding: "base64", size: Buffer.byteLength(text), name, path: file(c), sha: blob(text), content };
    const of = `https://api.github.com/repos/${OWNER}/${w.name}`;
    const links = { url: `${of}/contents/${name}`, git_url: `${of}/git/blobs/${shown.sha}`, html_url: url(w, `blob/${name}`) };
    const _links = { self: links.url, git: links.git_url, html: links.html_url };
    return new Answer(200, { ...shown, ...links, download_url: url(w, `raw/${name}`), _links });
  },
  "repos/create-or-update-file-contents": (w, c, request) => {
    const text = Buffer.from(c.request.requestBody.content, "base64").toString();
    return write(w, c, "put", (files, path) => files.set(path, text));
  },
  "repos/delete-file": (w, c, request) => write(w, c, "delete", (files, path) => files.delete(path)),
  "pulls/list": (w, c, request) => {
    const { state = "open", head, base } = c.request.query;
    const asked = w.pulls.filter(
      (pull) =>
        (state === "all" || pull.state === state) && (!head || head === `${OWNER}:${pull.head}`) && (!base || base === pull.base),
    );
    return page(request, c, asked.toReversed().map((pull) => shownPull(w, pull, "pulls/list", 200)));
  },
  "pulls/create": (w, c, request) => {
    const { title, head, base, body } = c.request.requestBody;
    const failed = (message) => fail(422, "Validation Failed", [{ resource: "PullRequest", code: "custom", message }]);
    if (!w.refs.has(`heads/${head}`)) return failed(`head ${head} is not a branch`);
    if (w.pulls.some((pull) => pull.state === "open" && pull.head === head && pull.base === base)) {
      return failed(`A pull request already exists for ${OWNER}:${head}.`);
    }
    if (history(w, w.refs.get(`heads/${base}`)).includes(w.refs.get(`heads/${head}`))) {
      return failed(`No commits between ${base} and ${head}`);
    }
    const pull = { number: w.pulls.length + 1, state: "open", title, head, base, body };
    w.pulls.push(pull);
    return new Answer(201, shownPull(w, pull, "pulls/create", 201), { location: url(w, `pull/${pull.number}`) });
  },
  "pulls/update": (w, c, request) => {
    const pull = w.pulls.find((pull) => String(pull.number) === c.request.params.pull_number);
    if (!pull) return fail(404, "Not Found");
    Object.assign(pull, c.request.requestBody);
    return new Answer(200, shownPull(w, pull, "pulls/update", 200));
  },
};

// ---- Faults and control.

const meets = (plan, request) => plan.method === request.method && new RegExp(plan.path).test(request.url);

function play(w, request) {
  const race = w.races.findIndex((race) => meets(race, request));
  if (race >= 0) {
    const [{ branch, file, content, create }] = w.races.splice(race, 1);
    if (create) w.refs.set(`heads/${branch}`, w.refs.get("heads/main"));
    if (file) commit(w, branch, (files) => files.set(file, content), "somebody was faster");
  }
  const fault = w.faults.find((fault) => meets(fault, request) && fault.times > 0);
  if (!fault) return undefined;
  fault.times -= 1;
  return new Answer(fault.status, fault.body, fault.headers);
}

const control = {
  seed(w, { files = {}, strangers = 0, marker, close, merge, pushed = [] }) {
    // Commits of a real repository: they are known by their ids, and no more of them.
    for (const sha of pushed) w.commits.set(sha, { files: new Map(), message: "" });
    for (const [path, text] of Object.entries(files)) commit(w, "main", (all) => all.set(path, text), `add ${path}`);
    for (let at = 0; at < strangers; at += 1) w.comments.push({ id: ++ids, issue: 7, body: marker ?? `remark ${at}`, user: stranger });
    for (const pull of w.pulls) if (pull.number === close) pull.state = "closed";
    for (const pull of w.pulls.filter((pull) => pull.number === merge)) {
      w.refs.set(`heads/${pull.base}`, w.refs.get(`heads/${pull.head}`));
      pull.state = "closed";
    }
  },
  fault: (w, fault) => w.faults.push({ times: 1, ...fault }),
  race: (w, race) => w.races.push(race),
};

function state(w) {
  const branches = [...w.refs].map(([ref, sha]) => [ref, { sha, files: Object.fromEntries(w.commits.get(sha).files) }]);
  const blobs = new Map([...w.commits.values()].flatMap(({ files }) => [...files.values()].map((text) => [text, blob(text)])));
  return {
    branches: Object.fromEntries(branches), blobs: Object.fromEntries(blobs),
    comments: w.comments.map(({ id, body, user }) => ({ id, body, login: user.login })),
    statuses: w.statuses, pulls: w.pulls, requests: w.requests, violations: w.violations,
  };
}

// ---- The server.

function violation(kind, request, errors) {
  const found = `${kind} ${request.method} ${request.url}: ${JSON.stringify(errors)}`;
  request.world.violations.push(found);
  return fail(422, found);
}

async function answer(request, text) {
  const played = play(request.world, request);
  if (played) return played;
  const me = people[(request.headers.authorization ?? "").replace(/^Bearer /, "")];
  request.me = me;
  if (!me) return fail(401, "Bad credentials");
  if (!request.headers["user-agent"]) return fail(403, "Request forbidden by administrative rules: a User-Agent is required");
  if (me.reads && request.method !== "GET") return fail(403, "Resource not accessible by integration");
  const [path, query = ""] = request.url.split("?");
  const repo = path.match(/^\/repos\/([^/]+)\//);
  if (repo && repo[1] !== OWNER) return fail(404, "Not Found");
  // Refs and paths of files have slashes, which parameters of paths in OpenAPI cannot have.
  const one = (match, before, rest) => before + encodeURIComponent(decodeURIComponent(rest));
  const routed = path.replace(/^(\/repos\/[^/]+\/[^/]+\/(?:git\/refs?|contents)\/)(.+)$/, one);
  const body = text ? JSON.parse(text) : undefined;
  return api.handleRequest({ method: request.method, path: routed, query, body, headers: request.headers }, request);
}

api.register({
  notFound: (c, request) => violation("no operation", request, []),
  validationFail: (c, request) => violation("request", request, c.validation.errors),
});
for (const [operationId, handle] of Object.entries(handlers)) {
  api.register(operationId, (c, request) => {
    const made = handle(request.world, c, request);
    const checked = api.validateResponse(made.body, operationId, made.status);
    return checked.valid ? made : violation(`answer ${made.status}`, request, checked.errors);
  });
}
await api.init();

const server = createServer(async (request, response) => {
  let text = "";
  for await (const chunk of request) text += chunk;
  const [, asked, what] = request.url.match(/^\/_control\/([\w-]+)\/(\w+)$/) ?? [];
  const [, named] = request.url.match(/^\/repos\/[^/]+\/([^/?]+)/) ?? [];
  request.world = world(asked ?? named ?? "");
  let made;
  try {
    if (what === "state") made = new Answer(200, state(request.world));
    else if (what) made = new Answer(200, control[what](request.world, JSON.parse(text)) ?? {});
    else made = await answer(request, text);
  } catch (error) {
    made = error instanceof Answer ? error : violation("crash", request, String(error.stack));
  }
  if (!what) request.world.requests.push(`${request.method} ${request.url} ${made.status}`);
  const isText = typeof made.body === "string";
  const type = isText ? "text/html" : "application/json; charset=utf-8";
  response.writeHead(made.status, { "content-type": type, ...made.headers });
  response.end(isText ? made.body : JSON.stringify(made.body));
});
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
// Whoever started it holds its standard input: it ends with them.
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
