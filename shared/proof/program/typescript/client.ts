// Posts a request for drinks, reads it back, and prints it. It compiles only if the document describes what the API accepts.
import createClient from "openapi-fetch";
import type { paths } from "./generated/sipeat.js";

declare const process: { argv: string[] };

const client = createClient<paths>({ baseUrl: process.argv[2] ?? "" });
const body = {
  name: "Grace Hopper",
  email: "grace@example.com",
  phone: "+1 212 555 0142",
  address: "1 Harbor Way",
  city: "New York",
  country: "USA",
  drinksList: ["Mate"],
};
const posted = await client.POST("/requests", { params: { header: { "Idempotency-Key": "typescript-1" } }, body });
if (!posted.data) throw new Error(posted.error.detail ?? posted.error.title);
const got = await client.GET("/requests/{id}", {
  params: { path: { id: posted.data.id }, header: { Prefer: "wait=20" } },
});
if (!got.data) throw new Error(got.error.detail ?? got.error.title);
const drinks: string[] = got.data.drinksList;
console.log(JSON.stringify({ id: got.data.id, drinks }));

const refused = await client.POST("/requests", { body: { ...body, email: "nobody" } });
console.log(JSON.stringify(refused.error?.errors?.map((e) => e.pointer)));

// What the document does not allow must not compile.
// @ts-expect-error a required field is missing
void (() => client.POST("/contacts", { body: { name: "Ada" } }));
// @ts-expect-error no such field
void (() => got.data.price);
// @ts-expect-error no such type of notification
void (() => client.GET("/notifications", { params: { query: { type: "drink" } } }));
