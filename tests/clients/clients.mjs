// Prints what the official JavaScript clients of OpenAI and OpenRouter make of the gateway at ROSTER_URL.
import OpenAI from "openai";
import { OpenRouter } from "@openrouter/sdk";

const { ROSTER_URL: url, ROSTER_TOKEN: token } = process.env;

const refusal = async (call) => {
  try {
    return { answered: await call() };
  } catch (error) {
    return { class: error.constructor.name, status: error.status ?? error.statusCode, message: error.message };
  }
};

const ofOpenAI = (apiKey) => new OpenAI({ baseURL: `${url}/openai/v1`, apiKey, maxRetries: 0 }).models;
const ofOpenRouter = (apiKey) =>
  new OpenRouter({ serverURL: `${url}/api/v1`, apiKey, retryConfig: { strategy: "none" } }).models;

const listed = [];
for await (const model of ofOpenAI(token).list()) listed.push(model);
const pages = [];
for await (const page of await ofOpenRouter(token).list({ limit: 2 })) pages.push(page.result);
const whole = await ofOpenRouter(token).list();

console.log(JSON.stringify({
  openai: {
    listed,
    integers: listed.every((model) => Number.isInteger(model.created)),
    one: await ofOpenAI(token).retrieve("acme/one"),
    unknown: await refusal(() => ofOpenAI(token).retrieve("acme/none")),
    token: await refusal(() => ofOpenAI("no-token").list()),
  },
  openrouter: {
    pages: pages.map((page) => page.data.map((model) => model.id)),
    total: whole.result.totalCount,
    models: whole.result.data,
    token: await refusal(() => ofOpenRouter("no-token").list()),
  },
}));
