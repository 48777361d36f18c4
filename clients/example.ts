/** The generated TypeScript client at work: from signing in to a problem, read by its code.
 *
 *     make clients
 *     export SERVICE_URL=http://127.0.0.1:8000 SERVICE_USERNAME=alice SERVICE_PASSWORD=…
 *     node clients/generated/javascript/example.js
 */
import createClient, { type Client } from "openapi-fetch";

import type { components, paths } from "./generated/typescript/api.js";

type Reading = components["schemas"]["Reading"];
type Problem = components["schemas"]["Problem"];
type Answer<T> = { data?: T; error?: Problem };

const NEW_YEAR = Date.UTC(2026, 0, 1);
const service = environment("SERVICE_URL");

function environment(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

function connect(authorization?: string): Client<paths> {
  return createClient<paths>({ baseUrl: service, headers: authorization ? { Authorization: authorization } : {} });
}

/** The answer of a call that went well; an Error with the problem's detail for another. */
function answered<T>({ data, error }: Answer<T>): T {
  if (data === undefined) throw new Error(error?.detail ?? "no answer");
  return data;
}

function at(seconds: number): string {
  return new Date(NEW_YEAR + seconds * 1000).toISOString();
}

async function signIn(): Promise<Client<paths>> {
  const credentials = { username: environment("SERVICE_USERNAME"), password: environment("SERVICE_PASSWORD") };
  const { token } = answered(await connect().POST("/api/v1/auth/token/", { body: credentials }));
  return connect(`Token ${token}`);
}

async function send(sender: Client<paths>, device_id: number): Promise<void> {
  const params = { path: { device_id } };
  const one = { recorded_at: at(0), x: 0, y: 0.5, z: 9.81 };
  const reading = answered(await sender.POST("/api/v1/devices/{device_id}/readings/", { params, body: one }));
  if (!("id" in reading)) throw new Error("one object is answered with its reading");
  const many = Array.from({ length: 250 }, (_, n) => ({ recorded_at: at(n), x: n, y: 0.5, z: 9.81 }));
  const receipt = answered(await sender.POST("/api/v1/devices/{device_id}/readings/", { params, body: many }));
  if (!("received" in receipt)) throw new Error("an array is answered with a receipt");
  console.log("sent:", receipt.received, receipt.created, receipt.duplicates);
}

async function* pages(sender: Client<paths>, device_id: number): AsyncGenerator<Reading> {
  let cursor: string | undefined;
  do {
    const params = { path: { device_id }, query: { page_size: 100, ...(cursor === undefined ? {} : { cursor }) } };
    const page = answered(await sender.GET("/api/v1/devices/{device_id}/readings/", { params }));
    yield* page.results;
    cursor = page.next === null ? undefined : (new URL(page.next).searchParams.get("cursor") ?? undefined);
  } while (cursor !== undefined);
}

async function summarize(sender: Client<paths>, id: number): Promise<void> {
  const query = { start_time: at(0), end_time: at(100), percentiles: "99" };
  const summary = answered(await sender.GET("/api/v1/devices/{id}/analytics/", { params: { path: { id }, query } }));
  console.log("analytics:", summary.count, summary.x.median, summary.x.percentiles?.["99"]);
}

async function analyse(person: Client<paths>, device_id: number): Promise<void> {
  const started = await person.POST("/api/v1/devices/{device_id}/analyses/", {
    params: { path: { device_id } },
    body: { interval: "day", timezone: "Europe/Berlin" },
  });
  let analysis = answered(started);
  while (analysis.status === "pending" || analysis.status === "running") {
    await new Promise((resolve) => setTimeout(resolve, 200));
    analysis = answered(await person.GET("/api/v1/analyses/{id}/", { params: { path: { id: analysis.id } } }));
  }
  if (analysis.result === null || !("device" in analysis.result)) throw new Error(analysis.error ?? "no result");
  console.log("analysis:", analysis.status, analysis.result.count, analysis.result.x.max);
}

async function readAProblem(sender: Client<paths>, device_id: number): Promise<void> {
  const { error } = await sender.POST("/api/v1/devices/{device_id}/readings/", {
    params: { path: { device_id } },
    body: { x: 1e16, y: 0, z: 0 },
  });
  console.log("problem:", error?.status, error?.errors[0]?.pointer, error?.errors[0]?.code);
}

const person = await signIn();
const device = answered(await person.POST("/api/v1/devices/", { body: { name: `Pump ${Date.now()}` } }));
console.log("created:", device.owner, device.is_active);
const sender = connect(`Device ${device.key}`);
await send(sender, device.id);
let count = 0;
for await (const _ of pages(sender, device.id)) count += 1;
console.log("paged:", count);
await summarize(sender, device.id);
await analyse(person, device.id);
await readAProblem(sender, device.id);
