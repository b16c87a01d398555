// Uses a hub as a JavaScript program does, with Microsoft's own client; one line per case, exit code 1 when one fails.
//
//   node javascript_client.cjs CONNECTION_STRING HUB
//
// The hub must be empty and have four partitions.
"use strict";
const assert = require("node:assert/strict");
const { EventHubBufferedProducerClient, EventHubConsumerClient, EventHubProducerClient } = require("@azure/event-hubs");

const [connection, hub] = process.argv.slice(2);
const group = EventHubConsumerClient.defaultConsumerGroupName;
const options = { retryOptions: { maxRetries: 0, timeoutInMs: 8000 } };
const producer = new EventHubProducerClient(connection, hub, options);
const consumer = new EventHubConsumerClient(group, connection, hub, options);

/** Events of a partition from a position on: resolves with `count` of them, or rejects with the first error. */
function read(partition, startPosition, count, more = {}, client = consumer) {
  return new Promise((resolve, reject) => {
    const events = [];
    const timer = setTimeout(() => end(() => reject(new Error(`${events.length} of ${count} events`))), 8000);
    const subscription = client.subscribe(
      partition,
      {
        processEvents: async (found) => {
          events.push(...found);
          if (events.length >= count) end(() => resolve(events));
        },
        processError: async (error) => end(() => reject(error)),
      },
      { startPosition, maxWaitTimeInSeconds: 1, ...more },
    );
    let isOver = false;
    function end(then) {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      subscription.close().then(then, then);
    }
  });
}

const cases = {
  "properties of hub and partition": async () => {
    const found = await producer.getEventHubProperties();
    assert.equal(found.name, hub);
    assert.deepEqual(found.partitionIds, ["0", "1", "2", "3"]);
    assert.equal((await producer.getPartitionProperties("0")).isEmpty, true);
  },
  "bodies and properties of every kind": async () => {
    const bodies = [{ patient: "é", list: [1, null] }, "text", 42, true, null, Buffer.from([0, 255])];
    const properties = { text: "é", number: 1.5, flag: true };
    await producer.sendBatch(bodies.map((body) => ({ body, properties, contentType: "application/json" })), {
      partitionId: "0",
    });
    const events = await read("0", { sequenceNumber: 0, isInclusive: true }, bodies.length);
    assert.deepEqual(events.map((event) => event.body), bodies);
    assert.deepEqual(events[0].properties, properties);
    assert.equal(events[0].contentType, "application/json");
  },
  "a key chooses one partition": async () => {
    await producer.sendBatch([{ body: 1 }, { body: 2 }], { partitionKey: "P1" });
    const counts = await Promise.all(
      ["1", "2", "3", "0"].map(async (id) => (await producer.getPartitionProperties(id)).lastEnqueuedSequenceNumber),
    );
    assert.equal(counts.filter((last) => last === 1 || last === 7).length, 1);
  },
  "positions": async () => {
    const all = await read("0", { sequenceNumber: 0, isInclusive: true }, 6);
    const third = all[2];
    const first = async (position) => (await read("0", position, 1))[0].sequenceNumber;
    assert.equal(await first({ sequenceNumber: 2, isInclusive: true }), 2);
    assert.equal(await first({ sequenceNumber: 2 }), 3);
    assert.equal(await first({ offset: third.offset }), 3);
    assert.equal(await first({ enqueuedOn: new Date(Date.now() - 3600000) }), 0);
  },
  "a higher owner level takes the partition over": async () => {
    const stolen = new Promise((resolve, reject) => {
      const old = consumer.subscribe(
        "0",
        {
          processEvents: async () => {},
          processError: async (error) => {
            await old.close();
            resolve(error);
          },
        },
        { startPosition: { sequenceNumber: 0, isInclusive: true }, ownerLevel: 1 },
      );
      setTimeout(() => reject(new Error("the first owner is still attached")), 12000).unref();
    });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const other = new EventHubConsumerClient(group, connection, hub, options);
    await read("0", { sequenceNumber: 0, isInclusive: true }, 6, { ownerLevel: 2 }, other);
    await other.close();
    assert.equal((await stolen).code, "ReceiverDisconnectedError");
  },
  "a message above the limit is refused at once": async () => {
    const begin = Date.now();
    await assert.rejects(producer.sendBatch([{ body: "x".repeat(1100000) }], { partitionId: "1" }), (error) => {
      assert.equal(error.code, "MessageTooLargeError");
      return true;
    });
    assert.ok(Date.now() - begin < 5000);
  },
  "a hub, partition or consumer group that does not exist is an error": async () => {
    const other = new EventHubProducerClient(connection, `${hub}-none`, options);
    await assert.rejects(other.sendBatch([{ body: 1 }]), { code: "MessagingEntityNotFoundError" });
    await other.close();
    await assert.rejects(producer.sendBatch([{ body: 1 }], { partitionId: "99" }));
    const stranger = new EventHubConsumerClient("none", connection, hub, options);
    await assert.rejects(read("0", { sequenceNumber: 0 }, 1, {}, stranger), { code: "MessagingEntityNotFoundError" });
    await stranger.close();
  },
  "5,000 events from a buffered producer": async () => {
    const count = async () => {
      const found = await Promise.all(["0", "1", "2", "3"].map((id) => producer.getPartitionProperties(id)));
      return found.reduce((sum, partition) => sum + partition.lastEnqueuedSequenceNumber + 1, 0);
    };
    const before = await count();
    const failures = [];
    const buffered = new EventHubBufferedProducerClient(connection, hub, {
      onSendEventsErrorHandler: async (context) => failures.push(context.error),
    });
    for (let i = 0; i < 5000; i++) await buffered.enqueueEvent({ body: { i } }, { partitionKey: `P${i % 100}` });
    await buffered.close({ flush: true });
    assert.deepEqual(failures, []);
    assert.equal((await count()) - before, 5000);
  },
};

(async () => {
  let failed = 0;
  for (const [name, run] of Object.entries(cases)) {
    try {
      await run();
      console.log(`passed  ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name}: ${error.code ?? error.name} ${error.message}`);
    }
  }
  await Promise.all([producer.close(), consumer.close()]);
  console.log(`${Object.keys(cases).length - failed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
})();
