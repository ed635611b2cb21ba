// Reads a topic in a consumer group as the TypeScript app does, and commits what it has read.
// node consume.js BROKERS GROUP TOPIC COUNT: prints the data of so many records, one JSON line each, and ends. With a COUNT of 0
// it reads nothing and stays in the group until SIGTERM.
const { Kafka, logLevel } = require('kafkajs')

const [brokers, groupId, topic, count] = process.argv.slice(2)

async function main() {
  const kafka = new Kafka({ clientId: 'sipeat-app', brokers: brokers.split(','), logLevel: logLevel.ERROR })
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 200 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  let left = Number(count)
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
    process.once('SIGTERM', resolve)
    consumer.run({
      autoCommit: false, // so that exactly what was read is committed, whatever was fetched
      eachMessage: async ({ partition, message }) => {
        if (left === 0) return
        left--
        const { data } = JSON.parse(message.value.toString()) // as in the app
        process.stdout.write(JSON.stringify(data) + '\n')
        await consumer.commitOffsets([{ topic, partition, offset: String(BigInt(message.offset) + 1n) }])
        if (left === 0) setImmediate(resolve)
      },
    }).catch(reject)
  })
  await consumer.disconnect()
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
