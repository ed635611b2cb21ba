// Reads a topic in a consumer group by batches, as fast as kafkajs does, and parses each record.
// node drain.js BROKERS GROUP TOPIC COUNT: prints how many milliseconds so many records took from the connection on, and ends.
const { Kafka, logLevel } = require('kafkajs')

const [brokers, groupId, topic, count] = process.argv.slice(2)

async function main() {
  const began = performance.now()
  const kafka = new Kafka({ clientId: 'sipeat-app', brokers: brokers.split(','), logLevel: logLevel.ERROR })
  const consumer = kafka.consumer({ groupId, maxBytes: 8 << 20 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  let left = Number(count)
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
    consumer.run({
      autoCommitInterval: 1000,
      partitionsConsumedConcurrently: 6,
      eachBatch: async ({ batch }) => {
        for (const message of batch.messages) {
          if (!JSON.parse(message.value.toString()).eventId) throw new Error('not an event')
        }
        left -= batch.messages.length
        if (left <= 0) setImmediate(resolve)
      },
    }).catch(reject)
  })
  console.log(Math.round(performance.now() - began))
  await consumer.disconnect()
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
