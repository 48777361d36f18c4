// What would break a client that was generated from the first document once the service serves the second.
// A line for each: the operation's id, or the schema's name, a colon, and what has changed. Prints nothing if none has.
import { readFileSync } from "node:fs";
import { apiCompare } from "api-smart-diff";
import yaml from "js-yaml";

const [before, after] = process.argv.slice(2).map((file) => yaml.load(readFileSync(file, "utf8")));

// Beyond what the tool thinks breaking: generated functions and types are named after these, answers have types too,
// and a field that the service no longer knows is refused.
function breaks({ action, path, type }) {
  if (path[0] === "components") return path.length === 3 && action === "remove";
  if (path[0] !== "paths") return false;
  const last = path.at(-1);
  return (
    type === "breaking" ||
    (last === "operationId" && action !== "add") ||
    (path.includes("responses") && (last === "type" || (last === "nullable" && action === "add"))) ||
    (path.includes("requestBody") && path.at(-2) === "properties" && action === "remove")
  );
}

function subject(path) {
  if (path[0] === "components") return path[2];
  const item = before.paths[path[1]] ?? {};
  const operations = path.length > 2 ? [item[path[2]]] : Object.values(item);
  return operations.map((operation) => operation?.operationId).join(", ");
}

const found = apiCompare(before, after).diffs.filter(breaks);
const lines = found.map(({ action, path }) => `${subject(path)}: ${action} ${path.slice(2).join("/")}`);
console.log([...new Set(lines)].join("\n"));
