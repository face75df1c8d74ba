// The query page: an editor, an answer, a history, and a token that never leaves this browser but to this gateway.
import { showDocs } from "/graphql/docs.js";

const HISTORY_MAX = 20;
const TAB = "  ";
const element = (id) => document.getElementById(id);
const [query, variables, answer, status, token] = ["query", "variables", "answer", "status", "token"].map(element);

function stored(name, fallback) {
  try { return JSON.parse(localStorage.getItem(`graphiql.${name}`)) ?? fallback; } catch { return fallback; }
}
function store(name, value) {
  try { localStorage.setItem(`graphiql.${name}`, JSON.stringify(value)); } catch { /* private windows have none */ }
}

async function post(body) {
  const headers = { "Content-Type": "application/json", Accept: "application/graphql-response+json, application/json;q=0.9" };
  if (token.value.trim()) headers.Authorization = `Bearer ${token.value.trim()}`;
  const response = await fetch("/graphql", { method: "POST", headers, body: JSON.stringify(body) });
  return [response, await response.json()];
}

function readVariables() {
  const problem = element("variables-problem");
  problem.textContent = "";
  if (!variables.value.trim()) return {};
  try {
    return JSON.parse(variables.value);
  } catch (error) {
    problem.textContent = error.message;
    return null;
  }
}

async function run() {
  const given = readVariables();
  if (given === null || !query.value.trim()) return;
  remember();
  element("run").disabled = true;
  say("Waiting…");
  const started = performance.now();
  try {
    const [response, content] = await post({ query: query.value, variables: given });
    const failed = !response.ok || Boolean(content.errors);
    say(`${response.status} ${response.statusText} · ${Math.round(performance.now() - started)} ms`, failed);
    answer.replaceChildren(...painted(content, ""));
  } catch (error) {
    say(`No answer: ${error.message}`, true);
  } finally {
    element("run").disabled = false;
  }
}

function say(text, failed = false) {
  status.textContent = text;
  status.classList.toggle("failed", failed);
}

function piece(kind, text) {
  const span = document.createElement("span");
  span.className = kind;
  span.textContent = text;
  return span;
}

// JSON as nodes: colours, and addresses that can be followed to a payment page.
function painted(value, indent) {
  if (typeof value === "string") return [/^https?:\/\//.test(value) ? link(value) : piece("text", JSON.stringify(value))];
  if (value === null || typeof value !== "object") return [piece(typeof value === "number" ? "number" : "word", String(value))];
  const isList = Array.isArray(value);
  const entries = Object.entries(value);
  if (!entries.length) return [isList ? "[]" : "{}"];
  const inner = indent + TAB;
  const lines = entries.flatMap(([key, item], position) => [
    `${position ? "," : ""}\n${inner}`,
    ...(isList ? [] : [piece("key", JSON.stringify(key)), ": "]),
    ...painted(item, inner),
  ]);
  return [isList ? "[" : "{", ...lines, `\n${indent}${isList ? "]" : "}"}`];
}

function link(address) {
  const anchor = document.createElement("a");
  Object.assign(anchor, { href: address, target: "_blank", rel: "noopener noreferrer", textContent: JSON.stringify(address) });
  return anchor;
}

function remember() {
  const entry = [query.value, variables.value];
  const others = stored("history", []).filter(([source, given]) => source !== entry[0] || given !== entry[1]);
  store("history", [entry, ...others].slice(0, HISTORY_MAX));
  listHistory();
}

function listHistory() {
  const options = stored("history", []).map(([source], position) => new Option(source.replace(/\s+/g, " ").slice(0, 60), position));
  element("history").replaceChildren(new Option("choose…", ""), ...options);
}

function fill(source, given) {
  [query.value, variables.value] = [source, given];
  readVariables();
  query.focus();
}

function chooseFrom(select, find) {
  select.addEventListener("change", () => {
    const found = find(select.value);
    if (found) fill(...found);
    select.value = "";
  });
}

// Who the token says it speaks for; only the gateway can tell whether that is true.
function identify() {
  const label = element("identity");
  try {
    const part = token.value.trim().split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (char) => char.charCodeAt(0))));
    const expired = claims.exp * 1000 < Date.now();
    label.textContent = `${claims.sub}${expired ? " (expired)" : ""}`;
  } catch {
    label.textContent = token.value.trim() ? "not a token" : "not signed in";
  }
}

// A textarea with Tab for two spaces and Ctrl-Enter to run; Escape, then Tab, leaves it with the keyboard.
function makeEditor(area) {
  let leaving = false;
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      run();
    } else if (event.key === "Tab" && !event.shiftKey && !leaving) {
      event.preventDefault();
      area.setRangeText(TAB, area.selectionStart, area.selectionEnd, "end");
    }
    leaving = event.key === "Escape";
  });
}

const fragment = new URLSearchParams(location.hash.slice(1));
if (fragment.has("token")) {
  store("token", fragment.get("token"));
  history.replaceState(null, "", location.pathname);
}
token.value = stored("token", "");
token.addEventListener("input", () => { store("token", token.value.trim()); identify(); });
identify();

[query, variables].forEach(makeEditor);
element("run").addEventListener("click", run);
const examples = await (await fetch("/graphql/examples.json")).json();
examples.forEach(({ name }, position) => element("examples").append(new Option(name, position)));
chooseFrom(element("examples"), (position) => fields(examples[position]));
chooseFrom(element("history"), (position) => stored("history", [])[position]);
listHistory();
fill(...(stored("history", [])[0] ?? fields(examples[0])));
element("docs-button").addEventListener("click", (event) => {
  const hidden = document.querySelector("main").classList.toggle("no-docs");
  event.currentTarget.setAttribute("aria-expanded", String(!hidden));
});
showDocs(post);

function fields(example) {
  const given = Object.keys(example.variables).length ? JSON.stringify(example.variables, null, 2) : "";
  return [example.query.join("\n"), given];
}
