package docs

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/trace"
)

// bindingVersion is that of the Kafka bindings, https://github.com/asyncapi/bindings/tree/master/kafka.
const bindingVersion = "0.5.0"

// AsyncAPI is the document of the topics on a cluster, AsyncAPI 3.0.0: who sends and who receives which messages, and under
// which consumer group. topics are those of the groups.
func AsyncAPI(version string, cluster settings.Kafka, topics map[string]string) []byte {
	components, channels, operations, messages := schemas{}, object{}, object{}, object{}
	of := map[string]string{bus.AuditTopic: "AuditRecord"} // the messages of topics
	for _, d := range events.Catalogue() {
		name := reflect.TypeOf(d.Payload()).Elem().Name()
		messages[name] = eventMessage(d, components)
		operations["publish-"+d.Topic] = action("send", d.Topic, "SipEat's API and consumers publish it. "+d.Description)
		deadLetters := bus.DeadLetterTopic(d.Topic)
		of[d.Topic], of[deadLetters] = name, "DeadLetter"
		operations["reject-"+d.Topic] = action("send", deadLetters, "A consumer publishes what it cannot handle.")
	}
	for group, topic := range topics {
		o := action("receive", topic, "A consumer adds it to the read model, and sends notifications.")
		o["bindings"] = object{"kafka": object{"bindingVersion": bindingVersion,
			"groupId": object{"type": "string", "enum": []any{group}}}}
		operations["consume-"+topic] = o
	}
	for _, topic := range kafka.Topics(events.Catalogue()...) {
		channels[topic.Name] = channel(topic, of[topic.Name])
	}
	messages["DeadLetter"] = deadLetterMessage()
	messages["AuditRecord"] = object{"contentType": "application/json", "summary": "What was done about dead letters.",
		"payload": components.define(reflect.TypeFor[deadletters.AuditRecord]())}
	operations["audit"] = action("send", bus.AuditTopic, "`sipeat dead-letters` publishes what it did.")
	return render(object{
		"asyncapi": "3.0.0",
		"info": object{"title": "SipEat events", "version": version,
			"description": "Drink orders and sales leads. Events about one subject have its id as their key, and stay in order. A " +
				"repeat has the same eventId. Readers ignore fields that they do not know."},
		"defaultContentType": "application/json",
		"servers":            servers(cluster),
		"channels":           channels,
		"operations":         operations,
		"components":         object{"messages": messages, "schemas": components},
	})
}

func servers(cluster settings.Kafka) object {
	all := object{}
	for i, broker := range cluster.Brokers {
		server := object{"host": broker, "protocol": "kafka"}
		if cluster.TLS {
			server["protocol"] = "kafka-secure"
		}
		if kind := map[string]string{"PLAIN": "plain", "SCRAM-SHA-256": "scramSha256", "SCRAM-SHA-512": "scramSha512",
			settings.AWSMSKIAM: "userPassword"}[cluster.Mechanism]; kind != "" {
			server["security"] = []any{object{"type": kind, "description": cluster.Mechanism}}
		}
		all["broker"+strconv.Itoa(i+1)] = server
	}
	return all
}

func channel(t kafka.Topic, message string) object {
	configuration := object{}
	for name, value := range t.Config {
		if n, err := strconv.Atoi(value); err == nil {
			configuration[name] = n
		} else if name == "cleanup.policy" {
			configuration[name] = strings.Split(value, ",")
		}
	}
	return object{
		"address": t.Name, "messages": object{message: ref("messages", message)},
		"bindings": object{"kafka": object{"topic": t.Name, "partitions": t.Partitions, "topicConfiguration": configuration,
			"bindingVersion": bindingVersion}},
	}
}

func action(direction, topic, summary string) object {
	return object{"action": direction, "channel": object{"$ref": "#/channels/" + topic}, "summary": summary}
}

// eventMessage is the message of an event type. What it requires is what a reader requires.
func eventMessage(d events.Definition, components schemas) object {
	data := reflect.TypeOf(d.Payload()).Elem()
	name := data.Name()
	components[name] = components.of(data)
	components[name].Required = required(d, "data")
	metadata := components.define(reflect.TypeFor[events.Metadata]())
	components["Metadata"].Required = required(d, "metadata")
	return object{
		"title": d.Topic, "summary": d.Description, "contentType": "application/json",
		"headers": headersOf(map[string]string{
			trace.Header:              "The trace context, https://www.w3.org/TR/trace-context/.",
			bus.HeaderRedriveConsumer: "Of a redriven event: the one consumer group that handles it. To others it is a repeat.",
			bus.HeaderRedriveOf:       "Of a redriven event: the record that was rejected first, as topic/partition/offset.",
			bus.HeaderRedrives:        "Of a redriven event: how often it was redriven.",
		}),
		"payload": object{
			"type": "object", "required": required(d),
			"properties": object{
				"eventId":   object{"type": "string", "description": "Equal for a repeat. A UUID, or any text of other producers."},
				"eventType": object{"const": d.Topic},
				"data":      ref("schemas", name),
				"metadata":  metadata,
			},
		},
		"correlationId": object{"location": "$message.payload#/metadata/correlationId", "description": "The first event of the chain."},
		"bindings": object{"kafka": object{"key": object{"type": "string", "description": "The id of the subject."},
			"bindingVersion": bindingVersion}},
		"examples": []any{object{"name": "sample", "payload": sampleOf(d)}},
	}
}

// Schema is the schema of the records of an event type by itself, with those that it refers to.
func Schema(d events.Definition) []byte {
	components := schemas{}
	schema := eventMessage(d, components)["payload"].(object)
	schema["components"] = object{"schemas": components}
	return render(schema)
}

// required lists the members that a reader requires of the event, or of an object in it: those without which the sample cannot be
// decoded.
func required(d events.Definition, path ...string) (names []string) {
	names = []string{}
	members := func(event object) object {
		for _, name := range path {
			event = event[name].(object)
		}
		return event
	}
	for _, name := range slices.Sorted(maps.Keys(members(sampleOf(d)))) {
		event := sampleOf(d)
		delete(members(event), name)
		if _, err := d.Decode(render(event)); err != nil {
			names = append(names, name)
		}
	}
	return names
}

// headersOf are headers of these names, all of them texts.
func headersOf(descriptions map[string]string) object {
	properties := object{}
	for name, text := range descriptions {
		properties[name] = object{"type": "string", "description": text}
	}
	return object{"type": "object", "properties": properties}
}

func deadLetterMessage() object {
	headers := headersOf(map[string]string{
		bus.HeaderReason: "Why, for people.", bus.HeaderConsumer: "The consumer group that rejected it.",
		bus.HeaderTopic: "Where the record was.", bus.HeaderPartition: "Its partition there.", bus.HeaderOffset: "Its offset there.",
		bus.HeaderTimestamp: "Its time there, RFC 3339.", bus.HeaderAttempts: "How often it was tried.",
		bus.HeaderAt: "When it was rejected, RFC 3339.", bus.HeaderClass: "Why, for programs.",
		bus.HeaderLastAttempts: "When each of the last attempts began and how long it took, such as 2026-11-23T06:54:21.123Z/1.5ms," +
			" between commas.",
	})
	headers["properties"].(object)[bus.HeaderClass].(object)["enum"] = bus.Classes
	return object{
		"summary":     "A record that a consumer rejected: its key, value and headers byte for byte, and these headers behind them.",
		"contentType": "application/octet-stream",
		"headers":     headers,
		"payload":     object{"description": "Whatever the record had: it may be no JSON, or null."},
	}
}
