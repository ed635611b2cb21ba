package proof

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// timeouts are from and to how many seconds a function of a side may take.
var timeouts = map[string]struct {
	from, to int
	why      string
}{
	"commands":  {10, 29, "a publish waits 5 s for the brokers, a cold start comes before it, and API Gateway waits 30 s"},
	"queries":   {25, 29, "`Prefer: wait` goes up to 20 s and 2 s beyond, and API Gateway waits 30 s"},
	"consumers": {60, 840, "a handler has 30 s and 5 s of grace, and a mapping's function 14 minutes"},
}

// What functions and mappings say, each of which is compared or is a matter of taste. Anything else could be another way in
// (FunctionUrlConfig), another's rights (Role), what is not built here (Runtime), or a way to lose events (DestinationConfig).
var (
	saidOfFunctions = []string{"FunctionName", "Description", "CodeUri", "Handler", "MemorySize", "Timeout", "VpcConfig", "LoggingConfig",
		"Environment", "Policies", "Events"}
	saidOfMappings = []string{"FunctionName", "EventSourceArn", "Topics", "AmazonManagedKafkaEventSourceConfig", "StartingPosition", "BatchSize",
		"MaximumBatchingWindowInSeconds", "FunctionResponseTypes", "MaximumRetryAttempts", "ProvisionedPollerConfig", "Tags"}
	saidOfAllFunctions = []string{"Runtime", "Architectures", "LoggingConfig", "Environment"}
	saidOfRoutes       = []string{"ApiId", "Method", "Path", "Auth"}
)

// nothingElse finds what a resource says beyond that.
func (d *drifting) nothingElse(s *stack, id, why string, said []string) {
	for _, key := range others(child(s.resources[id], "Properties"), said) {
		d.is(s, id, nil, why, "Properties", key)
	}
}

// others are the keys that are not among those said.
func others(n *yaml.Node, said []string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(members(n))), func(key string) bool { return slices.Contains(said, key) })
}

func (d *drifting) functions(s *stack, c code) {
	listed := map[string]bool{}
	for _, f := range c.functions {
		id := f.logical() + "Function"
		listed[id] = true
		if s.resources[id] == nil {
			d.say(nil, "there is no %s for %s of %s", id, f.name, f.table())
			continue
		}
		d.is(s, id, "AWS::Serverless::Function", f.table()+" lists a function", "Type")
		d.is(s, id, f.name, "the bootstrap runs the function that Lambda gives it as _HANDLER", "Properties", "Handler")
		d.is(s, id, "dist/"+f.side, "`make build` puts that side there", "Properties", "CodeUri")
		d.is(s, id, "true", "SAM's own Go builder sets no flags", "Metadata", "SkipBuild")
		d.is(s, id, "sipeat-"+f.name, "the stack and the function", "Properties", "FunctionName")
		d.is(s, id, "<"+f.logical()+"Logs>", "each function has a log of its own, which is not kept for ever", "Properties", "LoggingConfig", "LogGroup")
		vpc := any(map[string]any{"SubnetIds": []any{"subnet-0a", "subnet-0b"}, "SecurityGroupIds": []any{"sg-0a"}})
		if f.side == "queries" {
			vpc = nil
		}
		d.is(s, id, vpc, "commands and consumers stand beside Kafka, queries have no need", "Properties", "VpcConfig")
		limit, at := timeouts[f.side], child(s.resources[id], "Properties", "Timeout")
		if seconds, err := strconv.Atoi(s.text(at)); err != nil || seconds < limit.from || seconds > limit.to {
			d.say([]*yaml.Node{at, s.resources[id]}, "%s has a timeout of %q, and it has to be %d to %d s: %s", id, s.text(at), limit.from, limit.to, limit.why)
		}
		if child(s.resources[id], "Properties", "MemorySize") == nil {
			d.say([]*yaml.Node{s.resources[id]}, "%s has no MemorySize, and Lambda's 128 MB make it slow", id)
		}
		d.nothingElse(s, id, "all functions are alike but for what saidOfFunctions lists", saidOfFunctions)
		d.trigger(s, id, f)
	}
	for _, id := range s.of("AWS::Serverless::Function") {
		if !listed[id] {
			d.say([]*yaml.Node{s.resources[id]}, "%s is in no table of functions/*/functions.go", id)
		}
	}
	for _, key := range others(s.globals, saidOfAllFunctions) {
		d.say([]*yaml.Node{child(s.globals, key)}, "all functions are given %s, which is not looked at here: say it of each, or add it to saidOfAllFunctions", key)
	}
	if got := s.list(child(s.globals, "Architectures")); !slices.Equal(got, []string{s.parameters["Architecture"]}) {
		d.say([]*yaml.Node{child(s.globals, "Architectures"), s.globals}, "functions are for %v, and not for the parameter Architecture, which `make deploy` builds for", got)
	}
	for name, want := range map[string]string{"Architecture": "arm64", "MinimumPollers": "0"} {
		if got := s.text(child(s.declared[name], "Default")); got != want {
			d.say([]*yaml.Node{s.declared[name]}, "%s is %q where nobody says, and it has to be %q", name, got, want)
		}
	}
	if got := s.text(child(s.globals, "Runtime")); got != "provided.al2023" {
		d.say([]*yaml.Node{child(s.globals, "Runtime"), s.globals}, "functions run on %q, and what `make build` makes on provided.al2023", got)
	}
	if got, want := canonical(s.value(child(s.globals, "LoggingConfig"))), "ApplicationLogLevel TRACE LogFormat JSON"; got != want {
		d.say([]*yaml.Node{child(s.globals, "LoggingConfig"), s.globals}, "functions log by %q, and it has to be %q: Lambda would drop lines, and the alarm DeadLetters reads JSON", got, want)
	}
}

// trigger compares a function's route, and who may call it.
func (d *drifting) trigger(s *stack, id string, f lambda) {
	at := child(s.resources[id], "Properties", "Events")
	if f.route == "" {
		if at != nil {
			d.say([]*yaml.Node{at}, "%s has events, and a consumer has its mapping alone: SAM's MSK event would add AWSLambdaMSKExecutionRole, rights to every cluster", id)
		}
		return
	}
	routes := []string{f.route}
	if path, get := strings.CutPrefix(f.route, "GET "); get {
		routes = append(routes, "HEAD "+path) // a route of GET is none of HEAD on API Gateway, unlike on servers
	}
	if len(members(at)) != len(routes) {
		d.say([]*yaml.Node{at, s.resources[id]}, "%s has %d events, and %s gives it %s", id, len(members(at)), f.table(), strings.Join(routes, " and "))
	}
	for _, event := range members(at) {
		properties := child(event, "Properties")
		route := s.text(child(properties, "Method")) + " " + s.text(child(properties, "Path"))
		if s.text(child(event, "Type")) != "HttpApi" || s.text(child(properties, "ApiId")) != "<Api>" {
			d.say([]*yaml.Node{event}, "%s is not reached by the API of this stack", id)
		}
		if !slices.Contains(routes, route) {
			d.say([]*yaml.Node{child(properties, "Path"), event}, "%s has the route %s, and %s says %s", id, route, f.table(), strings.Join(routes, " and "))
		}
		for _, key := range others(properties, saidOfRoutes) {
			d.say([]*yaml.Node{child(properties, key)}, "%s has %s for a route, and it has to be SAM's: payload format 2.0, and as much time as there is", id, key)
		}
		authorizer := s.text(child(properties, "Auth", "Authorizer"))
		switch where := []*yaml.Node{child(properties, "Auth"), event}; {
		case f.staff && authorizer != "Staff":
			d.say(where, "%s is open to everybody, and %s has it for staff", id, f.table())
		case f.staff && s.text(child(properties, "Auth", "AuthorizationScopes")) != s.parameters["JwtScope"]:
			d.say(where, "%s asks for no JwtScope, so that every customer of the issuer would be staff", id)
		case !f.staff && authorizer != "":
			d.say(where, "%s asks for a token, and %s has it for everybody", id, f.table())
		}
	}
}

func (d *drifting) mappings(provisioned, onDemand *stack, c code) {
	listed := map[string]bool{}
	for _, f := range c.functions {
		if f.topic == "" {
			continue
		}
		id := f.logical() + "Mapping"
		listed[id] = true
		if provisioned.resources[id] == nil {
			d.say(nil, "there is no %s for the topic %s of %s", id, f.topic, f.table())
			continue
		}
		for _, s := range []*stack{provisioned, onDemand} {
			d.is(s, id, "AWS::Lambda::EventSourceMapping", f.table()+" lists a consumer", "Type")
			d.is(s, id, "<"+f.logical()+"Function>", "the mapping is its function's", "Properties", "FunctionName")
			d.is(s, id, s.parameters["ClusterArn"], "that is where the topics are", "Properties", "EventSourceArn")
			d.is(s, id, []any{f.topic}, f.table()+" says so", "Properties", "Topics")
			d.is(s, id, f.group, f.table()+" says so: it goes on at that group's offsets", "Properties", "AmazonManagedKafkaEventSourceConfig", "ConsumerGroupId")
			d.is(s, id, "TRIM_HORIZON", "a new group begins at the earliest record", "Properties", "StartingPosition")
			d.nothingElse(s, id, "events that are not handled come again for ever, and our dead letters are where others go", saidOfMappings)
			// One condition for both sides of the answer: a list where none is expected counts as success.
			answer, retries, setting := any(nil), any(nil), "false"
			if s == provisioned {
				answer, retries, setting = []any{"ReportBatchItemFailures"}, "-1", "true"
			}
			why := "with MinimumPollers " + s.parameters["MinimumPollers"] + " the mapping and PARTIAL_BATCH_RESPONSES have to say the same"
			d.is(s, id, answer, why, "Properties", "FunctionResponseTypes")
			d.is(s, id, retries, "what is not handled comes again for ever", "Properties", "MaximumRetryAttempts")
			d.is(s, f.logical()+"Function", setting, why, "Properties", "Environment", "Variables", "PARTIAL_BATCH_RESPONSES")
			if s == provisioned { // where the stack makes the topics too
				waits := func(key, topic string) any {
					return map[string]any{"Key": key, "Value": "<" + f.logical() + topic + ">"}
				}
				d.is(s, id, []any{waits("topic", "Topic"), waits("dead-letters", "DeadLettersTopic")}, "the mapping waits for the topics of its function", "Properties", "Tags")
			}
			if s == provisioned && s.value(child(s.resources[id], "Properties", "ProvisionedPollerConfig")) != nil {
				d.is(s, id, map[string]any{"MinimumPollers": s.parameters["MinimumPollers"], "MaximumPollers": s.parameters["MaximumPollers"], "PollerGroupName": "sipeat"},
					"these are parameters, and the four mappings share what pollers cost", "Properties", "ProvisionedPollerConfig")
			}
			if (child(s.resources[id], "Properties", "ProvisionedPollerConfig") == nil) || (s.value(child(s.resources[id], "Properties", "ProvisionedPollerConfig")) == nil) != (s == onDemand) {
				d.say([]*yaml.Node{child(s.resources[id], "Properties", "ProvisionedPollerConfig"), s.resources[id]}, "%s has to have ProvisionedPollerConfig where MinimumPollers is not 0, and only there", id)
			}
		}
	}
	for _, id := range provisioned.of("AWS::Lambda::EventSourceMapping") {
		if !listed[id] {
			d.say([]*yaml.Node{provisioned.resources[id]}, "%s is in no table: functions/consumers/functions.go has no %s", id, strings.TrimSuffix(id, "Mapping"))
		}
	}
}
