// Function that makes the two writes of an order, and nothing else, in JavaScript with Fastify. It does what
// ../src/bare.rs does for `POST /orders`.

import { Agent, request } from 'node:http';
import awsLambda from '@fastify/aws-lambda';
import fastify from 'fastify';
import { Binary, Long, MongoClient, UUID } from 'mongodb';

// Entries that a journal keeps, as in bare.rs.
const KEPT = 32;

const client = new MongoClient(process.env.MONGO_URI, { maxPoolSize: 2 });
const database = client.db();
const template = await database.collection('templates').findOne({}, { promoteLongs: false });

const app = fastify();
app.post('/orders', async (incoming, reply) => {
  const id = new UUID();
  const one = Long.fromNumber(1);
  const entry = { o: id, r: one, q: one, t: new Date() };
  const product = new Binary(Buffer.from(incoming.body.product.replaceAll('-', ''), 'hex'), Binary.SUBTYPE_UUID);
  const update = { $inc: { reserved: one }, $push: { pending: { $each: [entry], $slice: -KEPT } } };
  const held = await database.collection('stock').updateOne({ _id: product }, update);
  if (held.matchedCount !== 1) throw new Error('no such product');
  const order = { ...template, _id: id, number: id.toString(), created_at: new Date() };
  if (order.placed_under) order.placed_under = { ...order.placed_under, key: id.toString() };
  await database.collection('orders').insertOne(order);
  return reply.code(201).send({ id: id.toString() });
});
const proxy = awsLambda(app);
await app.ready();

const agent = new Agent({ keepAlive: true });
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');

// Sends a request to the Runtime API.
function runtime(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
    const options = { agent, host, port, method, headers, path: `/2018-06-01/runtime/invocation/${path}` };
    const sent = request(options, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('end', () => resolve({ headers: answer.headers, body: Buffer.concat(parts).toString() }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

for (;;) {
  const next = await runtime('GET', 'next');
  const answer = await proxy(JSON.parse(next.body), {});
  await runtime('POST', `${next.headers['lambda-runtime-aws-request-id']}/response`, JSON.stringify(answer));
}
