package faults

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// fields are the payloads of the wire contract, read here once more so that a mistake in the program's own reading shows:
// s a string, o one that is left out where it is empty, t a time, l a list of strings.
var fields = map[string]map[string]rune{
	"contact-created": {"id": 's', "timestamp": 't', "name": 's', "email": 's', "phone": 's', "message": 's',
		"companyName": 'o', "machineLocation": 'o'},
	"machine-created": {"id": 's', "timestamp": 't', "name": 's', "address": 's', "city": 's', "country": 's',
		"contactName": 's', "contactEmail": 's', "contactPhone": 's'},
	"request-created": {"id": 's', "timestamp": 't', "name": 's', "email": 's', "phone": 's', "address": 's', "city": 's',
		"country": 's', "drinksList": 'l', "machineId": 'o'},
	"notification": {"id": 's', "timestamp": 't', "type": 's', "message": 's', "recipientEmail": 'o', "subjectId": 'o'},
}

// routes are the topics of the API's routes.
var routes = map[string]string{"/contacts": "contact-created", "/machines": "machine-created", "/requests": "request-created",
	"/notifications": "notification"}

// payload is the fields of an event that a reader must understand, in one form. The id is always there.
type payload map[string]any

// event is a record that a reader must understand.
type event struct {
	id       string  // eventId
	data     payload // with the event's id where it has none
	made     string  // metadata.timestamp in milliseconds, "" = absent
	causeID  string
	producer string
}

func (e event) resource() string { return e.data["id"].(string) }

// text is the text of a field, "" where it is absent.
func (p payload) text(name string) string {
	s, _ := p[name].(string)
	return s
}

// same reports whether two payloads make the same statement: only the time may differ, and what is excepted.
func (p payload) same(other payload, except ...string) bool {
	covers := func(a, b payload) bool {
		for name, value := range a {
			if name != "timestamp" && !slices.Contains(except, name) && !reflect.DeepEqual(value, b[name]) {
				return false
			}
		}
		return true
	}
	return covers(p, other) && covers(other, p)
}

// fingerprint is equal for equal statements, whatever their id and time.
func (p payload) fingerprint(topic string) string {
	p = maps.Clone(p)
	delete(p, "id")
	delete(p, "timestamp")
	b, err := json.Marshal(p, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // a map of texts
	}
	return topic + string(b)
}

// object reads JSON as other programs write it.
func object(b []byte) (o map[string]any, ok bool) {
	err := json.Unmarshal(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), &o,
		jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	return o, err == nil && o != nil
}

// payloadOf brings the fields of a topic into one form; ok is false if a reader cannot understand them.
func payloadOf(topic string, data map[string]any) (p payload, ok bool) {
	p = payload{}
	for name, kind := range fields[topic] {
		value := data[name]
		s, isText := value.(string)
		if !isText && value != nil && kind != 'l' {
			return p, false
		}
		switch kind {
		case 's':
			p[name] = s
		case 'o':
			if s != "" {
				p[name] = s
			}
		case 't':
			if value == nil {
				continue
			}
			if p[name], ok = milliseconds(s); !ok {
				return p, false
			}
		case 'l':
			list, isList := value.([]any)
			texts := []string{}
			for _, one := range list {
				s, isText := one.(string)
				if !isText && one != nil {
					return p, false
				}
				texts = append(texts, s)
			}
			if !isList && value != nil {
				return p, false
			}
			p[name] = texts
		}
	}
	return p, true
}

func milliseconds(s string) (string, bool) {
	t, err := time.Parse(time.RFC3339, s)
	return t.UTC().Format("2006-01-02T15:04:05.000Z"), err == nil
}

// understand reads a record as the wire contract says a reader must.
func understand(topic string, value []byte) (e event, ok bool) {
	o, ok := object(value)
	data, isObject := o["data"].(map[string]any)
	e.id, _ = o["eventId"].(string)
	if !ok || !isObject || e.id == "" || o["eventType"] != topic {
		return e, false
	}
	if e.data, ok = payloadOf(topic, data); !ok {
		return e, false
	}
	if topic == "notification" {
		if t := e.data.text("type"); t != "contact" && t != "machine" && t != "request" {
			return e, false
		}
		if e.data["id"] == "" {
			e.data["id"] = e.id
		}
	}
	metadata, _ := o["metadata"].(map[string]any)
	if at := metadata["timestamp"]; at != nil {
		s, _ := at.(string)
		if e.made, ok = milliseconds(s); !ok {
			return e, false
		}
	}
	e.producer, _ = metadata["producer"].(string)
	e.causeID, _ = metadata["causationId"].(string)
	return e, e.data["id"] != ""
}

// orderKey is what orders a record within its partition; "" = nothing.
func orderKey(topic string, key []byte, e event, understood bool) string {
	switch {
	case len(key) > 0:
		return string(key)
	case !understood:
		return ""
	case topic == "notification" && e.data.text("subjectId") != "":
		return e.data.text("subjectId")
	}
	return e.resource()
}

// place is a row of demand, in the form in which texts are compared.
func place(country, city, drink string) [3]string {
	fold := func(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
	return [3]string{fold(country), fold(city), fold(drink)}
}
