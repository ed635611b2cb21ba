package proof

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"go.yaml.in/yaml/v3"
)

// topics compares those that the stack makes with the catalogue's.
func (d *drifting) topics(making, not *stack, c code) {
	made := map[string]string{}
	for _, id := range making.of("AWS::MSK::Topic") {
		made[making.text(child(making.resources[id], "Properties", "TopicName"))] = id
	}
	for _, topic := range c.topics {
		id, found := made[topic.Name]
		if !found {
			d.say(nil, "no AWS::MSK::Topic makes the topic %s of shared/events/catalogue.go", topic.Name)
			continue
		}
		delete(made, topic.Name)
		at := child(making.resources[id], "Properties", "Configs")
		got := map[string]string{}
		if err := json.Unmarshal([]byte(making.text(at)), &got); err != nil {
			d.say([]*yaml.Node{at, making.resources[id]}, "%s has Configs that are no JSON object of texts, which is all that the API of MSK is known to take: %v", id, err)
		} else if !maps.Equal(got, topic.Config) {
			d.say([]*yaml.Node{at, making.resources[id]}, "%s has %v, and shared/bus/kafka/topics.go says %v", id, got, topic.Config)
		}
		d.is(making, id, topic.Partitions, "shared/events/catalogue.go says so", "Properties", "PartitionCount")
		d.is(making, id, making.parameters["ReplicationFactor"], "it is a parameter", "Properties", "ReplicationFactor")
		d.is(making, id, making.parameters["ClusterArn"], "that is where the mappings read", "Properties", "ClusterArn")
		d.kept(making, id, "the topics are the truth")
	}
	for name, id := range made {
		d.say([]*yaml.Node{making.resources[id]}, "%s makes the topic %s, which is not in shared/events/catalogue.go", id, name)
	}
	for _, id := range not.of("AWS::MSK::Topic") {
		d.say([]*yaml.Node{not.resources[id]}, "%s is made where CreateTopics is false, and MSK Serverless has no such resource", id)
	}
}

func (d *drifting) kept(s *stack, id, why string) {
	for _, policy := range []string{"DeletionPolicy", "UpdateReplacePolicy"} {
		d.is(s, id, "Retain", why, policy)
	}
}

// tables compares the tables with package dynamodb.
func (d *drifting) tables(s *stack) {
	const why = "it is needed to keep mails from being sent twice, or by the functions until another is built"
	described := map[string]*sdk.CreateTableInput{
		"ReadModel": dynamodb.Description(s.parameters["TableName"]), "Claims": dynamodb.ClaimsDescription(s.parameters["ClaimsTableName"]),
	}
	for _, id := range s.of("AWS::DynamoDB::Table") {
		if described[id] == nil {
			d.say([]*yaml.Node{s.resources[id]}, "%s is no table of package dynamodb", id)
		}
	}
	for id, want := range described {
		text, err := json.Marshal(want)
		properties := map[string]any{}
		if err == nil {
			err = json.Unmarshal(text, &properties)
		}
		if err != nil || s.resources[id] == nil {
			d.say(nil, "there is no table %s (%v)", id, err)
			continue
		}
		maps.DeleteFunc(properties, func(_ string, v any) bool { return v == nil })
		maps.Copy(properties, map[string]any{
			"DeletionProtectionEnabled": "true", "SSESpecification": map[string]any{"SSEEnabled": "true"},
			"PointInTimeRecoverySpecification": map[string]any{"PointInTimeRecoveryEnabled": "true"},
		})
		if id == "Claims" {
			properties["TimeToLiveSpecification"] = map[string]any{"AttributeName": dynamodb.Expires, "Enabled": "true"}
		}
		d.kept(s, id, why)
		at := child(s.resources[id], "Properties")
		for _, key := range slices.Sorted(maps.Keys(properties)) {
			n := child(at, key)
			if got, want := canonical(s.value(n)), canonical(properties[key]); got != want {
				d.say([]*yaml.Node{n, at}, "%s has %s as %s, and shared/store/dynamodb/create.go has %s", id, key, got, want)
			}
		}
		for key, n := range members(at) {
			if properties[key] == nil {
				d.say([]*yaml.Node{n}, "%s has %s, and shared/store/dynamodb/create.go has none", id, key)
			}
		}
	}
}

// canonical is a value in words: what is empty left out, lists of things with names in the order of these.
func canonical(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case map[string]any:
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if text := canonical(v[key]); text != "" {
				parts = append(parts, key+" "+text)
			}
		}
		return strings.Join(parts, " ")
	case []any:
		var parts []string
		for _, item := range v {
			parts = append(parts, canonical(item))
		}
		if !slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(p, "KeyType") && !strings.Contains(p, "IndexName") }) {
			slices.Sort(parts) // the order of a key counts, that of indexes and attributes does not
		}
		return "[" + strings.Join(parts, "; ") + "]"
	}
	return fmt.Sprint(v)
}

// api compares what pages may do, and how much of what everybody may call.
func (d *drifting) api(s *stack, c code) {
	cors := child(s.resources["Api"], "Properties", "CorsConfiguration")
	answers, _ := s.value(cors).(map[string]any)
	for key, header := range map[string]string{
		"AllowMethods": "Access-Control-Allow-Methods", "AllowHeaders": "Access-Control-Allow-Headers",
		"ExposeHeaders": "Access-Control-Expose-Headers", "MaxAge": "Access-Control-Max-Age",
	} {
		if got, want := strings.Join(texts(answers[key]), ","), c.cors.Get(header); got != want {
			d.say([]*yaml.Node{cors}, "Api has %s %q, and servers answer %s: %s (shared/web/gateway/cors.go)", key, got, header, want)
		}
	}
	if got := strings.Join(texts(answers["AllowOrigins"]), ","); got != s.parameters["CorsOrigins"] {
		d.say([]*yaml.Node{cors}, "Api has AllowOrigins %q, and it has to be %q: it is a parameter", got, s.parameters["CorsOrigins"])
	}
	if origins := child(cors, "AllowOrigins"); origins != nil && origins.ShortTag() != "!!seq" {
		d.say([]*yaml.Node{origins}, "Api has a function for AllowOrigins alone, and SAM would put that in the place of the whole CorsConfiguration: make the whole one function")
	}
	d.is(s, "Api", nil, "SAM's own definition of the API has warnings", "Properties", "FailOnWarnings")
	if child(s.resources["Api"], "Properties", "Auth", "DefaultAuthorizer") != nil {
		d.say([]*yaml.Node{child(s.resources["Api"], "Properties", "Auth")}, "Api has a DefaultAuthorizer, and a preflight carries no token")
	}
	d.is(s, "Api", map[string]any{"issuer": s.parameters["JwtIssuer"], "audience": []any{s.parameters["JwtAudience"]}}, "these are parameters",
		"Properties", "Auth", "Authorizers", "Staff", "JwtConfiguration")
	d.is(s, "Api", "$request.header.Authorization", "that is where clients send their token", "Properties", "Auth", "Authorizers", "Staff", "IdentitySource")
	d.is(s, "Api", map[string]any{"ThrottlingRateLimit": s.parameters["StaffRate"], "ThrottlingBurstLimit": s.parameters["StaffBurst"]},
		"these are parameters", "Properties", "DefaultRouteSettings")
	routes := members(child(s.resources["Api"], "Properties", "RouteSettings"))
	for _, f := range c.functions {
		if f.route == "" {
			continue
		}
		rate := s.text(child(routes[f.route], "ThrottlingRateLimit"))
		if want := map[bool]string{false: s.parameters["PublicRate"]}[f.staff]; rate != want {
			d.say([]*yaml.Node{routes[f.route], child(s.resources["Api"], "Properties", "RouteSettings")},
				"Api has the rate %q for %s: what is open to everybody has PublicRate, and all else the default, StaffRate", rate, f.route)
		}
		delete(routes, f.route)
	}
	for route, n := range routes {
		d.say([]*yaml.Node{n}, "Api throttles %s, which is no route", route)
	}
	personal := regexp.MustCompile(`\$context\.(identity|path|authorizer\.(claims|jwt)|requestOverride|domainName)[\w.]*|querystring|\$context\.http`)
	format := child(s.resources["Api"], "Properties", "AccessLogSettings", "Format")
	if found := personal.FindString(s.text(format)); found != "" || !json.Valid([]byte(s.text(format))) {
		d.say([]*yaml.Node{format, s.resources["Api"]}, "Api logs %q: it has to be JSON without anything of who calls and for what", found)
	}
}

// logs holds each function to a log that ends, and each consumer's to a count of its dead letters.
func (d *drifting) logs(s *stack, c code) {
	for _, f := range c.functions {
		d.is(s, f.logical()+"Logs", "/aws/lambda/sipeat-"+f.name, "it is "+f.name+"'s", "Properties", "LogGroupName")
		if f.topic == "" {
			continue
		}
		id := f.logical() + "DeadLettersCount"
		d.is(s, id, "<"+f.logical()+"Logs>", "it counts what "+f.name+" logs", "Properties", "LogGroupName")
		at := child(s.resources[id], "Properties", "FilterPattern")
		if pattern := s.text(at); !matches(pattern, c.rejected) || matches(pattern, c.handled) {
			d.say([]*yaml.Node{at, s.resources[id]}, "%s has the pattern %q, and of an event that went into the dead letters is logged: %s", id, pattern, strings.TrimSpace(c.rejected))
		}
		transformation := s.value(child(s.resources[id], "Properties", "MetricTransformations"))
		if want := "[DefaultValue 0 MetricName DeadLetters MetricNamespace sipeat MetricValue 1]"; canonical(transformation) != want {
			d.say([]*yaml.Node{at, s.resources[id]}, "%s counts %s, and the alarm DeadLetters looks at %s", id, canonical(transformation), want)
		}
	}
	for _, id := range s.of("AWS::Logs::LogGroup") {
		d.is(s, id, s.parameters["LogRetention"], "a log is not kept for ever", "Properties", "RetentionInDays")
	}
}

// matches understands one comparison with =, which is all that the template has
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html).
func matches(pattern, line string) bool {
	asked := regexp.MustCompile(`^\{ \$\.(\w+) = "([^"]*)" \}$`).FindStringSubmatch(pattern)
	fields := map[string]any{}
	return asked != nil && json.Unmarshal([]byte(line), &fields) == nil && fields[asked[1]] == asked[2]
}

// alarms holds each function to an alarm of its errors, its throttles and, of a consumer, its lag.
func (d *drifting) alarms(s *stack, c code) {
	watched := map[string]bool{}
	for _, id := range s.of("AWS::CloudWatch::Alarm") {
		properties := child(s.resources[id], "Properties")
		d.is(s, id, []any{s.parameters["AlarmTopic"]}, "nobody would hear it", "Properties", "AlarmActions")
		for key, want := range map[string]string{"ComparisonOperator": "GreaterThanThreshold", "Threshold": "0", "TreatMissingData": "notBreaching"} {
			d.is(s, id, want, "one is too many, and silence is none", "Properties", key)
		}
		if s.text(child(properties, "MetricName")) == "OffsetLag" {
			d.is(s, id, "Minimum", "a busy consumer comes to its end now and then", "Properties", "Statistic")
		}
		watch := func(metric *yaml.Node, statistic string) {
			what := strings.Join([]string{s.text(child(metric, "Namespace")), s.text(child(metric, "MetricName")), statistic}, " ")
			for _, dimension := range contents(child(metric, "Dimensions")) {
				what += " of " + s.text(child(dimension, "Name")) + " " + s.text(child(dimension, "Value"))
			}
			watched[what] = true
		}
		watch(properties, s.text(child(properties, "Statistic")))
		inputs := 0
		for _, m := range contents(child(properties, "Metrics")) {
			if at := child(m, "MetricStat"); at != nil {
				watch(child(at, "Metric"), s.text(child(at, "Stat")))
				inputs++
			} else if got := s.text(child(m, "Expression")); got != "SUM(METRICS())" {
				d.say([]*yaml.Node{m}, "%s looks at %s, and not at the sum of its functions", id, got)
			}
		}
		if inputs > 10 {
			d.say([]*yaml.Node{properties}, "%s looks at %s metrics, and CloudWatch takes 10 in one alarm", id, strconv.Itoa(inputs))
		}
	}
	for _, f := range c.functions {
		metrics := []string{"Errors Sum", "Throttles Sum"}
		if f.topic != "" {
			metrics = append(metrics, "OffsetLag Minimum")
		}
		for _, metric := range metrics {
			if !watched["AWS/Lambda "+metric+" of FunctionName <"+f.logical()+"Function>"] {
				name, statistic, _ := strings.Cut(metric, " ")
				d.say([]*yaml.Node{s.resources[f.logical()+"Function"]}, "no alarm looks at %s of %sFunction, of the namespace AWS/Lambda, by its %s", name, f.logical(), statistic)
			}
		}
	}
	for _, metric := range []string{"sipeat DeadLetters Sum", "AWS/ApiGateway 5xx Sum of ApiId <Api>"} {
		if !watched[metric] {
			d.say(nil, "no alarm looks at %s", metric)
		}
	}
}
