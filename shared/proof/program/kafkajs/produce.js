// Writes records exactly as the TypeScript app does: no key, its kind of eventId, its own notification beside each.
// node produce.js BROKERS PREFIX COUNT: prints one JSON line per record, as {topic, eventId, data}.
const { Kafka, logLevel } = require('kafkajs')

const [brokers, prefix, count] = process.argv.slice(2)

// As in the app.
const createKafkaEvent = (topic, data) => ({
  eventId: `${Date.now()}-${Math.random().toString(36).substring(2, 11)}`,
  eventType: topic,
  data,
  metadata: { timestamp: new Date().toISOString(), producer: 'sipeat-app' },
})

const now = () => new Date().toISOString()

// The fields that its forms do not ask for are empty strings, machineId is absent.
const contact = (n) => ({
  id: `${prefix}-contact-${n}`, name: 'Zoë 🥤', email: 'zoe@example.com', phone: '+1 555 0100', message: 'line 1\nline 2',
  companyName: n % 2 ? 'Müller & Söhne' : undefined, machineLocation: n % 2 ? '' : undefined, timestamp: now(),
})
const machine = (n) => ({
  id: `${prefix}-machine-${n}`, name: `Hall ${n}`, address: '', city: prefix, country: 'Brasil',
  contactName: '', contactEmail: '', contactPhone: '', timestamp: now(),
})
const request = (n) => ({
  id: `${prefix}-request-${n}`, name: 'Ana', email: '', phone: '', address: '', city: '', country: '',
  drinksList: ['🥤'.slice(0, 1), `Mate ${prefix}`], timestamp: now(), // an emoji cut in half is a lone surrogate
})
const notification = (type, thing) => ({ type, message: `New ${type}: ${thing.name}`, timestamp: now() })

async function main() {
  const kafka = new Kafka({ clientId: 'sipeat-app', brokers: brokers.split(','), logLevel: logLevel.ERROR })
  const producer = kafka.producer()
  await producer.connect()
  const send = async (topic, data) => {
    const event = createKafkaEvent(topic, data)
    await producer.send({ topic, messages: [{ value: JSON.stringify(event) }] })
    process.stdout.write(JSON.stringify({ topic, eventId: event.eventId, data: event.data }) + '\n')
  }
  for (let n = 0; n < Number(count); n++) {
    for (const [type, data] of [['contact', contact(n)], ['machine', machine(n)], ['request', request(n)]]) {
      await send(`${type}-created`, data)
      await send('notification', notification(type, data))
    }
  }
  await producer.disconnect()
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
