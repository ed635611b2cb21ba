package docs

import (
	"maps"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
)

// OpenAPI is the document of the functions, OpenAPI 3.1.1. Schemas are JSON Schema 2020-12.
func OpenAPI(version string, functions []web.Function) []byte {
	components, paths := schemas{}, object{}
	problem := components.define(reflect.TypeFor[web.Problem]())
	types := []any{"about:blank"}
	for _, p := range web.Problems() {
		types = append(types, p.Type)
	}
	components["Problem"].Properties["type"].Enum = types
	for _, f := range functions {
		method, path, _ := strings.Cut(f.Route, " ")
		if paths[path] == nil {
			paths[path] = object{}
		}
		paths[path].(object)[strings.ToLower(method)] = operation(f, components, problem)
	}
	return render(object{
		"openapi": "3.1.1",
		"info": object{
			"title": "SipEat", "version": version,
			"description": "A POST publishes an event to Kafka and is answered once it is written. A consumer then adds it to the read " +
				"model, which GET reads: right after a POST, GET with `Prefer: wait=10` waits for it. Errors are RFC 9457 problems.",
		},
		"servers": []any{object{"url": "/"}},
		"paths":   paths,
		"components": object{
			"schemas": components,
			"securitySchemes": object{"staff": object{
				"type": "http", "scheme": "bearer",
				"description": "A token, or a JWT of the issuer, as AUTH is set. A server on loopback without AUTH asks for none.",
			}},
		},
	})
}

type kind int

const (
	command kind = 1 << iota
	query
	byID
	staff
	health
)

// failures are the answers other than a success.
var failures = []struct {
	of     kind
	status string
	text   string
	header string
}{
	{command, "400", "The body cannot be read as this command; errors names the first fault.", ""},
	{query, "400", "A parameter is not acceptable; errors names all of them.", ""},
	{staff, "401", "The token is missing or not accepted.", "WWW-Authenticate"},
	{command | query | health, "403", "The token lacks the scope, or AUTH is not set and the caller is not on this machine.", ""},
	{byID, "404", "It does not exist, or not yet.", "Preference-Applied"},
	{command, "408", "The body came too slowly.", ""},
	{command, "413", "The body is larger than 64 KiB.", ""},
	{command, "415", "The body is not unencoded application/json in UTF-8.", ""},
	{command, "422", "Some fields are not acceptable; errors names all of them.", ""},
	{command | query, "429", "Too many requests.", "Retry-After"},
	{command | query | health, "500", "Something failed on the server's side.", ""},
	{command, "503", "Kafka is not reachable in time. It is unknown whether the event was written: eventId names it. Retry with " +
		"the same Idempotency-Key, and it has one effect.", "Retry-After"},
	{query, "503", "The read model is not reachable in time.", "Retry-After"},
	{health, "503", "Not ready; unreachable names what is missing.", "Retry-After"},
}

var headers = object{
	"Location":           header("Where the resource can be read.", "string"),
	"Preference-Applied": header("wait=N: how long it would have waited, at most.", "string"),
	"Retry-After":        header("How long to wait, in seconds.", "integer"),
	"WWW-Authenticate":   header("How to authenticate (RFC 6750).", "string"),
}

func header(description, kind string) object {
	return object{"description": description, "schema": object{"type": kind}}
}

func operation(f web.Function, components schemas, problem any) object {
	endpoint, _ := f.Handler.(web.Endpoint)
	o := object{"operationId": f.Name, "summary": f.Summary}
	is, status, success := query, "200", object{"description": "What was asked for."}
	if endpoint.Out != nil {
		content := object{"schema": components.define(endpoint.Out)}
		if example := exampleOf(endpoint); example != nil {
			content["example"] = example
		}
		success["content"] = object{"application/json": content}
	}
	switch {
	case endpoint.Command:
		d, name := eventOf(endpoint.In), "New"+componentName(endpoint.In)
		components[name] = body(endpoint.In, d.Rules())
		o["requestBody"] = object{"required": true, "content": object{"application/json": object{
			"schema": ref("schemas", name), "example": bodyOf(endpoint.In, d)}}}
		is, status = command, "202"
		success["description"] = "The event is written to its topic. It can be read a moment later."
		success["headers"] = object{"Location": headers["Location"]}
	case endpoint.In == nil:
		is = health
	case strings.Contains(f.Route, "{"):
		is |= byID
		success["headers"] = object{"Preference-Applied": headers["Preference-Applied"]}
	}
	if f.Staff {
		is |= staff
		o["security"] = []any{object{"staff": []any{}}}
	}
	responses := object{status: success}
	for _, failure := range failures {
		if failure.of&is != 0 {
			answer := object{"description": failure.text, "content": object{"application/problem+json": object{"schema": problem}}}
			if failure.header != "" {
				answer["headers"] = object{failure.header: headers[failure.header]}
			}
			responses[failure.status] = answer
		}
	}
	o["parameters"], o["responses"] = parametersOf(endpoint), responses
	return o
}

func parametersOf(endpoint web.Endpoint) []any {
	parameters := []any{}
	add := func(name, in, description string, schema object) {
		parameters = append(parameters, object{
			"name": name, "in": in, "required": in == "path", "description": description, "schema": schema})
	}
	if endpoint.Command {
		add("Idempotency-Key", "header", "The same request with the same key is the same event, and has one effect.",
			object{"type": "string", "pattern": "^[!-+\\--~]{1,255}$", "examples": []any{"8e03978e-40d5-43dd-bc93-6894a57f9324"}})
		return parameters
	}
	if endpoint.In == nil {
		return parameters
	}
	for _, f := range reflect.VisibleFields(endpoint.In) {
		schema := object{"type": "string", "minLength": 1}
		switch f.Type.Kind() {
		case reflect.Int:
			schema = object{"type": "integer"}
			for name, tag := range map[string]string{"minimum": "min", "maximum": "max", "default": "default"} {
				schema[name], _ = strconv.Atoi(f.Tag.Get(tag))
			}
		case reflect.Struct:
			schema["examples"] = []any{"2026-11-23T06:54:21Z", "2026-11-23"}
		}
		if oneOf := f.Tag.Get("oneof"); oneOf != "" {
			schema["enum"] = strings.Fields(oneOf)
		}
		if name := f.Tag.Get("query"); name != "" {
			add(name, "query", f.Tag.Get("doc"), schema)
		}
		if name := f.Tag.Get("path"); name != "" {
			add(name, "path", f.Tag.Get("doc"), schema)
			add("Prefer", "header", "wait=N waits up to N seconds, at most 20, until it can be read (RFC 7240).",
				object{"type": "string", "examples": []any{"wait=10"}})
		}
	}
	return parameters
}

// eventOf is the event that a command makes, or of which a query shows the payload; its Topic is "" if there is none.
func eventOf(t reflect.Type) events.Definition {
	for _, d := range events.Catalogue() {
		data := reflect.TypeOf(d.Payload()).Elem()
		for _, f := range reflect.VisibleFields(data) {
			if f.Anonymous && f.Type == t || componentName(data) == strings.TrimSuffix(componentName(t), "List") {
				return d
			}
		}
	}
	return events.Definition{}
}

// sampleOf is the frozen sample of an event type, a new copy at each call.
func sampleOf(d events.Definition) (event object) {
	if b, err := d.Sample(); err == nil {
		_ = json.Unmarshal(b, &event) // a test decodes every sample
	}
	return event
}

// bodyOf is the command that would have made the sample.
func bodyOf(command reflect.Type, d events.Definition) object {
	data, _ := sampleOf(d)["data"].(object)
	fields := infer(command, nil).Properties
	maps.DeleteFunc(data, func(name string, _ any) bool { return fields[name] == nil })
	return data
}

// exampleOf is what an endpoint answers about the sample; nil = there is none.
func exampleOf(endpoint web.Endpoint) object {
	shown := endpoint.Out
	if endpoint.Command {
		shown = endpoint.In
	}
	d := eventOf(shown)
	event := sampleOf(d)
	resource, _ := event["data"].(object)
	switch {
	case event == nil:
		return nil
	case endpoint.Command:
		return object{"id": resource["id"], "eventId": event["eventId"], "topic": d.Topic, "partition": 0, "offset": 17}
	}
	resource["eventId"], resource["createdAt"] = event["eventId"], event["metadata"].(object)["timestamp"]
	if strings.HasSuffix(componentName(shown), "List") {
		return object{"items": []any{resource}, "nextCursor": nil}
	}
	return resource
}
