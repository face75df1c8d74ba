// The schema, browsable: asked for once by introspection, shown a type at a time.
const INTROSPECTION = `query Schema {
  __schema { queryType { name } mutationType { name } types { ...T } }
}
fragment T on __Type {
  kind name description
  fields(includeDeprecated: true) { name description isDeprecated deprecationReason args { ...V } type { ...R } }
  inputFields { ...V } enumValues(includeDeprecated: true) { name description } possibleTypes { name }
}
fragment V on __InputValue { name description defaultValue type { ...R } }
fragment R on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }`;

const content = document.getElementById("docs-content");
const back = document.getElementById("docs-back");
const search = document.getElementById("docs-search");
const trail = [];
let types = new Map();
let roots = [];

export async function showDocs(post) {
  try {
    const [, answer] = await post({ query: INTROSPECTION });
    const schema = answer.data.__schema;
    types = new Map(schema.types.filter((type) => !type.name.startsWith("__")).map((type) => [type.name, type]));
    roots = [schema.queryType, schema.mutationType].filter(Boolean).map((root) => root.name);
    home();
  } catch {
    content.replaceChildren(node("p", "The schema could not be read: introspection is off, or the token is not valid."));
  }
}

back.addEventListener("click", () => {
  trail.pop();
  const last = trail.at(-1);
  last ? draw(last) : home();
});
search.addEventListener("input", () => (search.value.trim() ? find(search.value.trim().toLowerCase()) : home()));

function home() {
  trail.length = 0;
  back.disabled = true;
  const others = [...types.keys()].filter((name) => !roots.includes(name)).sort();
  content.replaceChildren(node("h2", "Start here"), list(roots.map(reference)), node("h2", "All types"), list(others.map(reference)));
}

function open(name) {
  trail.push(name);
  draw(name);
}

function draw(name) {
  const type = types.get(name);
  back.disabled = false;
  const members = [...(type.fields ?? []), ...(type.inputFields ?? [])].map(member);
  const values = (type.enumValues ?? []).map((value) => [node("code", value.name), ...described(value)]);
  const possible = (type.possibleTypes ?? []).map(({ name: each }) => reference(each));
  content.replaceChildren(node("h2", `${type.kind.toLowerCase().replace("_", " ")} ${name}`), ...described(type), list([...members, ...values]));
  if (possible.length) content.append(node("h2", "One of"), list(possible));
  content.scrollTop = 0;
}

function member(field) {
  const code = node("code", field.name);
  if (field.args?.length) {
    code.append("(", ...field.args.flatMap((each, position) => [position ? ", " : "", `${each.name}: `, typed(each.type), preset(each)]), ")");
  }
  code.append(": ", typed(field.type), preset(field));
  const warning = field.isDeprecated ? [node("p", `Deprecated: ${field.deprecationReason}`, "problem")] : [];
  return [code, ...described(field), ...warning];
}

function find(text) {
  back.disabled = true;
  trail.length = 0;
  const found = [...types.values()].flatMap((type) => {
    const fields = [...(type.fields ?? []), ...(type.inputFields ?? [])].filter((field) => field.name.toLowerCase().includes(text));
    const own = type.name.toLowerCase().includes(text) ? [reference(type.name)] : [];
    return [...own, ...fields.map((field) => [reference(type.name), ".", ...member(field)])];
  });
  content.replaceChildren(found.length ? list(found.slice(0, 60)) : node("p", "Nothing of that name.", "quiet"));
}

function typed(type) {
  if (type.kind === "NON_NULL") return group(typed(type.ofType), "!");
  if (type.kind === "LIST") return group("[", typed(type.ofType), "]");
  return types.has(type.name) ? reference(type.name) : type.name;
}

function reference(name) {
  const button = node("button", name, "link");
  button.type = "button";
  button.addEventListener("click", () => open(name));
  return button;
}

const preset = (value) => (value.defaultValue == null ? "" : ` = ${value.defaultValue}`);
const described = (thing) => (thing.description ? [node("p", thing.description, "quiet")] : []);

function group(...parts) {
  const span = document.createElement("span");
  span.append(...parts);
  return span;
}

function node(tag, text, className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

function list(items) {
  const made = document.createElement("ul");
  for (const item of items) {
    const line = document.createElement("li");
    line.append(...[item].flat());
    made.append(line);
  }
  return made;
}
