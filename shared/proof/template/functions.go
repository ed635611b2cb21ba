package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
)

// sides are the properties that the functions of a side share.
var sides = map[string]struct{ memory, timeout int }{
	"commands":  {256, 15},  // MB and seconds: a publish waits 5 s for the brokers, the rest is for a cold start
	"queries":   {256, 29},  // `Prefer: wait=N` waits up to 20 s, and API Gateway up to 30 s
	"consumers": {512, 120}, // a handler has 30 s and 5 s of grace, a function behind a mapping 14 minutes at most
}

// row completes the tables in functions/*/functions.go.
type row struct {
	topic  string // that it publishes to
	rights []statement
}

// statement is one of a policy. Its lists are separated by spaces.
type statement struct {
	service, actions string
	resources        string // cluster, topic/NAME, group/NAME, table, index/NAME, claims, identity or key
	keys             string // of table: patterns of partition keys, as shared/store/dynamodb/row.go spells them
	condition        string // YAML
	when             string // the condition of the template that the statement depends on
}

const (
	item     = "table"
	claims   = "claims"
	demand   = "1/demand"
	marksKey = "1/marks"
)

// items allows actions on those items of the read model whose partition keys match.
func items(actions, keys string) statement {
	return statement{service: "dynamodb", actions: actions, resources: item, keys: keys}
}

func get(eventType string) statement { return items("GetItem", "1/item/"+eventType+"/*") }
func put(eventType string) statement { return items("PutItem", "1/item/"+eventType+"/*") }

func list(indexes ...string) statement {
	return statement{service: "dynamodb", actions: "Query", resources: "index/" + strings.Join(indexes, " index/")}
}

func onClaims(action string) statement {
	return statement{service: "dynamodb", actions: action, resources: claims}
}

// marks stores the handled offsets before they are committed; Query reads them, and the version of the projections.
var marks = items("UpdateItem Query", marksKey)

// rows lists the differences between functions. A test runs each function on fakes and compares the rights that it uses
// with these.
var rows = map[string]row{
	"create-contact":      {topic: "contact-created"},
	"create-machine":      {topic: "machine-created"},
	"create-request":      {topic: "request-created"},
	"create-notification": {topic: "notification"},

	"get-contact":        {rights: []statement{get("contact-created")}},
	"list-contacts":      {rights: []statement{list("list")}},
	"get-machine":        {rights: []statement{get("machine-created")}},
	"list-machines":      {rights: []statement{list("list", "country", "city")}},
	"get-request":        {rights: []statement{get("request-created")}},
	"list-requests":      {rights: []statement{list("list", "country", "city", "machine")}},
	"get-notification":   {rights: []statement{get("notification"), onClaims("BatchGetItem")}},
	"list-notifications": {rights: []statement{list("list", "kind"), onClaims("BatchGetItem")}},
	"get-demand":         {rights: []statement{items("Query BatchGetItem", demand), list("place")}},

	"contact-created": {topic: "notification", rights: []statement{put("contact-created"), marks}},
	"machine-created": {topic: "notification", rights: []statement{put("machine-created"), marks}},
	"request-created": {topic: "notification", rights: []statement{put("request-created"),
		items("UpdateItem", demand+" "+marksKey), items("Query", marksKey)}},
	"notification": {rights: []statement{put("notification"), marks, onClaims("UpdateItem")}},
}

type function struct {
	Name, Side      string
	Route           string // of commands and queries: "POST /contacts"
	Staff           bool
	Topic, Group    string // of consumers
	About           string
	Memory, Timeout int

	row row
}

func functions() ([]function, error) {
	var all []function
	endpoints := func(side string, functions []web.Function) {
		for _, f := range functions {
			all = append(all, function{Name: f.Name, Side: side, Route: f.Route, Staff: f.Staff, About: f.Route + " - " + f.Summary})
		}
	}
	endpoints("commands", commands.Commands{}.Functions())
	endpoints("queries", queries.Queries{}.Functions())
	for _, f := range (consumers.Consumers{}).Functions() {
		d, _ := events.Lookup(f.Consumer.Topic)
		all = append(all, function{Name: f.Name, Side: "consumers", Topic: d.Topic, Group: f.Consumer.Group,
			About: "on " + d.Topic + " - " + d.Description})
	}
	for i := range all {
		f := &all[i]
		var ok bool
		if f.row, ok = rows[f.Name]; !ok {
			return nil, fmt.Errorf("add the rights of %s to rows in shared/proof/template/functions.go", f.Name)
		}
		f.Memory, f.Timeout = sides[f.Side].memory, sides[f.Side].timeout
	}
	return all, nil
}

func (f function) Method() string { method, _, _ := strings.Cut(f.Route, " "); return method }
func (f function) Path() string   { _, path, _ := strings.Cut(f.Route, " "); return path }

// environment lists the settings of functions, as names and YAML values, and which of them use it.
var environment = []struct {
	of     func(function) bool
	values []string // name, value, ...
}{
	{func(f function) bool { return f.Route != "" }, []string{"API_BASE_PATH", "!Ref BasePath"}},
	{func(f function) bool { return f.Staff }, []string{"JWT_SCOPE", "!Ref JwtScope"}},
	{func(f function) bool { return f.Side != "queries" },
		[]string{"KAFKA_BROKERS", "!Ref KafkaBrokers", "KAFKA_SASL_MECHANISM", `!If [Iam, AWS_MSK_IAM, ""]`}},
	{func(f function) bool { return f.Side != "commands" }, []string{
		"TABLE_NAME", "!If [UseSecond, !Ref SecondTableName, !Ref TableName]", "CLAIMS_TABLE_NAME", "!Ref ClaimsTableName",
		"DYNAMODB_ENDPOINT", "!Ref DynamoDBEndpoint"}},
	{function.Mails, []string{"NOTIFY", "!Ref Notify", "NOTIFY_FROM", "!Ref NotifyFrom", "NOTIFY_TO", "!Ref NotifyTo",
		"NOTIFY_RETRY_FOR", "!Ref NotifyRetryFor", "SMTP_URL", "!Ref SmtpUrl", "DISCORD_WEBHOOK", "!Ref DiscordWebhook"}},
	{func(f function) bool { return f.Side == "consumers" && !f.Mails() },
		[]string{"ANNOUNCED_BY_PRODUCER", "!Ref AnnouncedByProducer"}},
	{func(f function) bool { return f.Side == "consumers" },
		[]string{"PARTIAL_BATCH_RESPONSES", `!If [Provisioned, "true", "false"]`}},
}

// Settings is the environment of the function: pairs of name and YAML value.
func (f function) Settings() [][]string {
	var values []string
	for _, e := range environment {
		if e.of(f) {
			values = append(values, e.values...)
		}
	}
	return slices.Collect(slices.Chunk(values, 2))
}

// Mails reports whether the function delivers notifications, and so holds the secrets of their channels.
func (f function) Mails() bool { return f.Topic == "notification" }

// notFromCode limits rights to Lambda itself, which reads the topic with the function's role. Calls of the function's
// own code carry the key (https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html).
const notFromCode = `{"Null": {"lambda:SourceFunctionArn": "true"}}`

// Statements is the policy of the function. The reason for each action is in the comment above its side in the template.
func (f function) Statements() (all []statement) {
	var written []string
	if f.row.topic != "" {
		written = append(written, "topic/"+f.row.topic)
	}
	if f.Side == "consumers" {
		written = append(written, "topic/"+bus.DeadLetterTopic(f.Topic))
		all = append(all,
			statement{service: "kafka", actions: "DescribeClusterV2 GetBootstrapBrokers", resources: "cluster", condition: notFromCode},
			statement{service: "kafka-cluster", actions: "DescribeClusterDynamicConfiguration", resources: "cluster"},
			statement{service: "kafka-cluster", actions: "DescribeTopic ReadData", resources: "topic/" + f.Topic},
			statement{service: "kafka-cluster", actions: "DescribeGroup AlterGroup", resources: "group/" + f.Group})
	}
	if f.Side != "queries" {
		all = append(all, statement{service: "kafka-cluster", actions: "Connect WriteDataIdempotently", resources: "cluster"},
			statement{service: "kafka-cluster", actions: "DescribeTopic WriteData", resources: strings.Join(written, " ")})
	}
	all = append(all, f.row.rights...)
	if f.Mails() {
		all = append(all, statement{service: "ses", actions: "SendEmail SendRawEmail", resources: "identity", when: "Ses"},
			statement{service: "kms", actions: "Decrypt", resources: "key", when: "EnvironmentKey"})
	}
	return all
}

// yaml is the statement in a list of a policy.
func (s statement) yaml() string {
	var resources, actions []string
	for r := range strings.FieldsSeq(s.resources) {
		kind, name, _ := strings.Cut(r, "/")
		resources = append(resources, strings.ReplaceAll(map[string]string{
			"cluster":  "!Ref ClusterArn",
			"topic":    `!Sub ["${Of}/NAME", {Of: !Join [":topic/", !Split [":cluster/", !Ref ClusterArn]]}]`,
			"group":    `!Sub ["${Of}/NAME", {Of: !Join [":group/", !Split [":cluster/", !Ref ClusterArn]]}]`,
			item:       "!If [UseSecond, !GetAtt SecondReadModel.Arn, !GetAtt ReadModel.Arn]",
			"index":    `!If [UseSecond, !Sub "${SecondReadModel.Arn}/index/NAME", !Sub "${ReadModel.Arn}/index/NAME"]`,
			claims:     "!GetAtt Claims.Arn",
			"identity": `!Sub "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:identity/${SesIdentity}"`,
			"key":      "!Ref EnvironmentKeyArn",
		}[kind], "NAME", name))
	}
	for action := range strings.FieldsSeq(s.actions) {
		actions = append(actions, s.service+":"+action)
	}
	resource := resources[0]
	if len(resources) > 1 {
		resource = "[\n                " + strings.Join(resources, ",\n                ") + "]"
	}
	text := fmt.Sprintf("{Effect: Allow, Action: [%s], Resource: %s}", strings.Join(actions, ", "), resource)
	if s.keys != "" {
		s.condition = fmt.Sprintf(`{"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["%s"]}}`,
			strings.ReplaceAll(s.keys, " ", `", "`))
	}
	if s.condition != "" {
		text = strings.TrimSuffix(text, "}") + ", Condition: " + s.condition + "}"
	}
	if s.when != "" {
		text = fmt.Sprintf("!If [%s, %s, !Ref AWS::NoValue]", s.when, text)
	}
	return text
}
