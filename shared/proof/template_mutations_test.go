package proof

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each way in which the template can drift is found, and said so that one knows what to do. Each row breaks the template once, at the
// first place behind a text, and has the start of the one fault that this is.
func TestEachDriftIsFound(t *testing.T) {
	t.Parallel()
	const nothing = ""
	text, c := source(t, "template.yaml"), theCode(t)
	unbroken := drift(text, c)
	for _, row := range []struct{ behind, old, now, says string }{
		{nothing, "GetContactFunction:", "FetchContactFunction:", "there is no GetContactFunction for get-contact of functions/queries/functions.go"},
		{"GetContactFunction:", "      Timeout: 29\n", "      Timeout: 29\n      FunctionUrlConfig: {AuthType: NONE}\n", "GetContactFunction has map[AuthType:NONE] as FunctionUrlConfig, and it has to be nothing"},
		{"GetContactFunction:", "      Timeout: 29\n", "      Timeout: 29\n      Role: arn:aws:iam::111122223333:role/admin\n", "GetContactFunction has arn:aws:iam::111122223333:role/admin as Role, and it has to be nothing"},
		{"Globals:", "ApplicationLogLevel: TRACE", "ApplicationLogLevel: ERROR", "functions log by \"ApplicationLogLevel ERROR LogFormat JSON\""},
		{nothing, "GetContactFunction:", "FetchContactFunction:", "FetchContactFunction is in no table of functions/*/functions.go"},
		{nothing, "Handler: get-contact", "Handler: get-contacts", "GetContactFunction has get-contacts as Handler, and it has to be get-contact: the bootstrap runs"},
		{"GetContactFunction:", "dist/queries", "dist/commands", "GetContactFunction has dist/commands as CodeUri, and it has to be dist/queries: `make build`"},
		{"GetContactFunction:", "{SkipBuild: true}", "{SkipBuild: false}", "GetContactFunction has false as Metadata.SkipBuild"},
		{"GetContactFunction:", "${AWS::StackName}-get-contact", "${AWS::StackName}-get-contract", "GetContactFunction has sipeat-get-contract as FunctionName"},
		{"GetContactFunction:", "!Ref GetContactLogs", "!Ref GetMachineLogs", "GetContactFunction has <GetMachineLogs> as LoggingConfig.LogGroup"},
		{"GetContactFunction:", "Timeout: 29", "Timeout: 10", "GetContactFunction has a timeout of \"10\", and it has to be 25 to 29 s: `Prefer: wait`"},
		{"ContactCreatedFunction:", "Timeout: 120", "Timeout: 900", "ContactCreatedFunction has a timeout of \"900\", and it has to be 60 to 840 s"},
		{"GetContactFunction:", "MemorySize: 256", "Tags: {}", "GetContactFunction has no MemorySize"},
		{"CreateContactFunction:", "- InVpc\n", "- Ses\n        - !Ref AWS::NoValue\n", "CreateContactFunction has nothing as VpcConfig"},
		{"Globals:", "[!Ref Architecture]", "[x86_64]", "functions are for [x86_64], and not for the parameter Architecture"},
		{"Globals:", "provided.al2023", "provided.al2", "functions run on \"provided.al2\""},

		{"GetContactFunction:", "/contacts/{id}\n", "/contact/{id}\n", "GetContactFunction has the route GET /contact/{id}, and functions/queries/functions.go says GET /contacts/{id} and HEAD /contacts/{id}"},
		{"GetContactFunction:", "Method: HEAD", "Method: PUT", "GetContactFunction has the route PUT /contacts/{id}, and functions/queries/functions.go says GET /contacts/{id} and HEAD /contacts/{id}"},
		{"CreateContactFunction:", "Method: POST", "Method: PUT", "CreateContactFunction has the route PUT /contacts"},
		{"GetContactFunction:", "ApiId: !Ref Api", "ApiId: !Ref OtherApi", "GetContactFunction is not reached by the API of this stack"},
		{"GetContactFunction:", "            Method: GET\n", "            Method: GET\n            PayloadFormatVersion: \"1.0\"\n", "GetContactFunction has PayloadFormatVersion for a route"},
		{"GetContactFunction:", "            Method: GET\n", "            Method: GET\n            TimeoutInMillis: 1000\n", "GetContactFunction has TimeoutInMillis for a route"},
		{"Globals:", "    Runtime:", "    Role: arn:aws:iam::111122223333:role/admin\n    Runtime:", "all functions are given Role"},
		{"GetContactFunction:", "            Auth: {Authorizer: Staff, AuthorizationScopes: [!Ref JwtScope]}\n", "", "GetContactFunction is open to everybody, and functions/queries/functions.go has it for staff"},
		{"GetContactFunction:", ", AuthorizationScopes: [!Ref JwtScope]", "", "GetContactFunction asks for no JwtScope"},
		{"CreateContactFunction:", "Path: /contacts\n", "Path: /contacts\n            Auth: {Authorizer: Staff, AuthorizationScopes: [!Ref JwtScope]}\n", "CreateContactFunction asks for a token, and functions/commands/functions.go has it for everybody"},

		{nothing, "MachineCreatedMapping:", "MachinesMapping:", "there is no MachineCreatedMapping for the topic machine-created"},
		{"MachineCreatedMapping:", "Topics: [machine-created]", "Topics: [contact-created]", "MachineCreatedMapping has [contact-created] as Topics, and it has to be [machine-created]"},
		{"MachineCreatedMapping:", "sipeat-machine-consumer", "sipeat-machines", "MachineCreatedMapping has sipeat-machines as AmazonManagedKafkaEventSourceConfig.ConsumerGroupId, and it has to be sipeat-machine-consumer"},
		{"MachineCreatedMapping:", "TRIM_HORIZON", "LATEST", "MachineCreatedMapping has LATEST as StartingPosition"},
		{"MachineCreatedMapping:", "!Ref MachineCreatedFunction", "!Ref ContactCreatedFunction", "MachineCreatedMapping has <ContactCreatedFunction> as FunctionName"},
		{"MachineCreatedMapping:", "!If [Provisioned, [ReportBatchItemFailures], !Ref AWS::NoValue]", "[ReportBatchItemFailures]", "MachineCreatedMapping has [ReportBatchItemFailures] as FunctionResponseTypes, and it has to be nothing: with MinimumPollers 0"},
		{"MachineCreatedFunction:", `!If [Provisioned, "true", "false"]`, `"true"`, "MachineCreatedFunction has true as Environment.Variables.PARTIAL_BATCH_RESPONSES, and it has to be false"},
		{"MachineCreatedMapping:", "!If [Provisioned, -1, !Ref AWS::NoValue]", "!If [Provisioned, 3, !Ref AWS::NoValue]", "MachineCreatedMapping has 3 as MaximumRetryAttempts"},
		{"MachineCreatedMapping:", "      BatchSize: 100\n", "      BatchSize: 100\n      DestinationConfig: {OnFailure: {Destination: x}}\n", "MachineCreatedMapping has map[OnFailure:map[Destination:x]] as DestinationConfig, and it has to be nothing"},
		{"MachineCreatedMapping:", "!If\n        - Provisioned\n", "!If\n        - CreateTopics\n        - !Ref AWS::NoValue\n", "MachineCreatedMapping has to have ProvisionedPollerConfig where MinimumPollers is not 0"},

		{"MachineCreatedMapping:", "!Ref MachineCreatedTopic", "!Ref ContactCreatedTopic", "MachineCreatedMapping has [map[Key:topic Value:<ContactCreatedTopic>]"},
		{"Parameters:\n  ClusterArn", "Default: 0", "Default: 1", "MinimumPollers is \"1\" where nobody says"},
		{"MachineCreatedMapping:", "      Tags:", "      Enabled: false\n      Tags:", "MachineCreatedMapping has false as Enabled, and it has to be nothing"},
		{"MachineCreatedMapping:", "          PollerGroupName: !Ref AWS::StackName\n", "", "MachineCreatedMapping has map[MaximumPollers:6 MinimumPollers:2] as ProvisionedPollerConfig"},

		{"RequestCreatedDeadLettersTopic:", "request-created.dead-letters", "request-created.dlq", "no AWS::MSK::Topic makes the topic request-created.dead-letters"},
		{"RequestCreatedDeadLettersTopic:", "request-created.dead-letters", "request-created.dlq", "RequestCreatedDeadLettersTopic makes the topic request-created.dlq"},
		{"RequestCreatedTopic:", "PartitionCount: 6", "PartitionCount: 3", "RequestCreatedTopic has 3 as PartitionCount, and it has to be 6"},
		{"RequestCreatedTopic:", `"retention.ms":"-1"`, `"retention.ms":"604800000"`, "RequestCreatedTopic has map[cleanup.policy:delete max.message.bytes:1048588 retention.bytes:-1 retention.ms:604800000], and"},
		{"RequestCreatedTopic:", `"retention.ms":"-1"`, `"retention.ms":-1`, "RequestCreatedTopic has Configs that are no JSON object of texts"},
		{"RequestCreatedTopic:", `'{"cleanup.policy":"delete",`, "|\n          cleanup.policy=delete\n          #", "RequestCreatedTopic has Configs that are no JSON object of texts"},
		{"RequestCreatedTopic:", "DeletionPolicy: Retain", "DeletionPolicy: Delete", "RequestCreatedTopic has Delete as DeletionPolicy"},
		{"RequestCreatedTopic:", "    Condition: CreateTopics\n", "", "RequestCreatedTopic is made where CreateTopics is false"},

		{"CreateContactFunction:", ", kafka-cluster:WriteData]", "]", "CreateContactFunction may not kafka-cluster:WriteData topic/contact-created, and its code needs it"},
		{"CreateContactFunction:", "${Topics}/contact-created", "${Topics}/*", "CreateContactFunction may kafka-cluster:WriteData topic/*, and its code does not need it"},
		{"CreateContactFunction:", "Resource: !Ref ClusterArn", "Resource: \"*\"", "CreateContactFunction may kafka-cluster:Connect *, and its code does not need it"},
		{"ListMachinesFunction:", "index/city", "index/kind", "ListMachinesFunction may dynamodb:Query <ReadModel.Arn>/index/kind, and its code does not need it"},
		{"ListMachinesFunction:", "index/city", "index/kind", "ListMachinesFunction may not dynamodb:Query <ReadModel.Arn>/index/city, and its code needs it"},
		{"GetContactFunction:", "dynamodb:GetItem\n", "[dynamodb:GetItem, dynamodb:Scan]\n", "GetContactFunction may dynamodb:Scan <ReadModel.Arn>"},
		{"GetDemandFunction:", "dynamodb:BatchGetItem", "dynamodb:GetItem", "GetDemandFunction may not dynamodb:BatchGetItem <ReadModel.Arn>"},
		{"RequestCreatedFunction:", ", dynamodb:UpdateItem", "", "RequestCreatedFunction may not dynamodb:UpdateItem <ReadModel.Arn>"},
		{"\n  NotificationFunction:", "Action: dynamodb:UpdateItem", "Action: dynamodb:PutItem", "NotificationFunction may not dynamodb:UpdateItem <Claims.Arn>"},
		{"\n  NotificationFunction:", "ses:SendRawEmail", "ses:SendBulkEmail", "NotificationFunction may not ses:SendRawEmail"},
		{"\n  NotificationFunction:", "- Ses\n", "- Iam\n", "NotificationFunction may ses:SendEmail arn:aws:ses:eu-central-1:111122223333:identity/, and its code does not need it"},
		{"ContactCreatedFunction:", "sipeat-contact-consumer", "sipeat-*", "ContactCreatedFunction may not kafka-cluster:AlterGroup group/sipeat-contact-consumer"},
		{"ContactCreatedFunction:", "- Version: \"2012-10-17\"", "- AWSLambdaMSKExecutionRole\n        - Version: \"2012-10-17\"", "ContactCreatedFunction has the policy AWSLambdaMSKExecutionRole of somebody else's"},

		{"CreateContactFunction:", "          KAFKA_BROKERS: !Ref KafkaBrokers\n", "", "CreateContactFunction is not given KAFKA_BROKERS, which its code reads"},
		{"CreateContactFunction:", "KAFKA_BROKERS: !Ref KafkaBrokers\n", "KAFKA_BROKERS: !Ref KafkaBrokers\n          TABLE_NAME: !Ref TableName\n", "CreateContactFunction is given TABLE_NAME, which its code does not read"},
		{"CreateContactFunction:", "KAFKA_BROKERS: !Ref KafkaBrokers", "KAFKA_BROKERS: localhost:9092", "CreateContactFunction is given \"localhost:9092\" as KAFKA_BROKERS, and it has to be \"b-1:9098\""},
		{"CreateContactFunction:", "!If [Iam, AWS_MSK_IAM, \"\"]", "\"\"", "CreateContactFunction is given \"\" as KAFKA_SASL_MECHANISM, and it has to be \"AWS_MSK_IAM\""},
		{"\n  NotificationFunction:", "NOTIFY_FROM: !Ref NotifyFrom", "NOTIFY_FROM: !Ref NotifyTo", "NotificationFunction is given \"to@sipeat.example\" as NOTIFY_FROM"},
		{"SmtpUrl:", "    NoEcho: true\n", "", "SmtpUrl holds a secret and has no NoEcho: true"},
		{"Globals:", "LOG_LEVEL: !Ref LogLevel", "LOG_LEVELS: !Ref LogLevel", "CreateContactFunction is given LOG_LEVELS, which its code does not read"},

		{"ReadModel:", "AttributeName: sk, AttributeType: B", "AttributeName: sk, AttributeType: S", "ReadModel has AttributeDefinitions as "},
		{"ReadModel:", "ProjectionType: KEYS_ONLY", "ProjectionType: ALL", "ReadModel has GlobalSecondaryIndexes as "},
		{"ReadModel:", "PAY_PER_REQUEST", "PROVISIONED", "ReadModel has BillingMode as PROVISIONED, and shared/store/dynamodb/create.go has PAY_PER_REQUEST"},
		{"ReadModel:", "PointInTimeRecoveryEnabled: true", "PointInTimeRecoveryEnabled: false", "ReadModel has PointInTimeRecoverySpecification as "},
		{"ReadModel:", "DeletionProtectionEnabled: true", "TimeToLiveSpecification: {AttributeName: at, Enabled: true}", "ReadModel has TimeToLiveSpecification"},
		{"Claims:", "AttributeName: expires", "AttributeName: until", "Claims has TimeToLiveSpecification as "},
		{"Claims:", "DeletionPolicy: Retain", "DeletionPolicy: Delete", "Claims has Delete as DeletionPolicy"},
		{"ReadModel:", "DeletionPolicy: Retain", "DeletionPolicy: Delete", "ReadModel has Delete as DeletionPolicy"},

		{"CorsConfiguration:", "idempotency-key, ", "", "Api has AllowHeaders \"authorization,content-type,prefer,traceparent,tracestate,x-request-id\", and servers answer Access-Control-Allow-Headers: authorization,content-type,idempotency-key"},
		{"CorsConfiguration:", "MaxAge: 3600", "MaxAge: 60", "Api has MaxAge \"60\""},
		{"CorsConfiguration:", "!Split [\",\", !Ref CorsOrigins]", "[\"*\"]", "Api has AllowOrigins \"*\", and it has to be \"https://shop.example\""},
		{"CorsConfiguration:", " !If\n        - Cors\n", "\n        AllowOrigins: !Split [\",\", !Ref CorsOrigins]\n        Rest:\n        - Cors\n", "Api has a function for AllowOrigins alone"},
		{"Description: SipEat's API\n", "      Disable", "      FailOnWarnings: true\n      Disable", "Api has true as FailOnWarnings"},
		{"Authorizers:", "header.Authorization", "header.X", "Api has $request.header.X as Auth.Authorizers.Staff.IdentitySource"},
		{"Api:", "ThrottlingRateLimit: !Ref StaffRate, ", "", "Api has map[ThrottlingBurstLimit:200] as DefaultRouteSettings"},
		{"RouteSettings:", "!Ref PublicRate", "!Ref StaffRate", "Api has the rate \"100\" for POST /contacts"},
		{"RouteSettings:", "POST /machines:", "POST /machine:", "Api throttles POST /machine, which is no route"},
		{"RouteSettings:", "POST /machines:", "POST /machine:", "Api has the rate \"\" for POST /machines"},
		{"AccessLogSettings:", "$context.routeKey", "$context.path", "Api logs \"$context.path\""},
		{"Authorizers:", "audience: !Split [\",\", !Ref JwtAudience]", "audience: [any]", "Api has map[audience:[any]"},

		{"MachineCreatedDeadLettersCount:", `$.outcome = "rejected"`, `$.outcome = "failed"`, "MachineCreatedDeadLettersCount has the pattern \"{ $.outcome = \\\"failed\\\" }\", and of an event that went into the dead letters is logged: {"},
		{"MachineCreatedDeadLettersCount:", `$.outcome = "rejected"`, `$.msg = "event"`, "MachineCreatedDeadLettersCount has the pattern"},
		{"MachineCreatedDeadLettersCount:", "MetricName: DeadLetters", "MetricName: DeadLetter", "MachineCreatedDeadLettersCount counts "},
		{"GetContactLogs:", "RetentionInDays: !Ref LogRetention", "RetentionInDays: 3653", "GetContactLogs has 3653 as RetentionInDays"},
		{"GetContactLogs:", "-get-contact\"", "-get-machine\"", "GetContactLogs has /aws/lambda/sipeat-get-machine as LogGroupName"},
		{"QueriesErrors:", "!Ref GetMachineFunction", "!Ref GetContactFunction", "no alarm looks at Errors of GetMachineFunction"},
		{"CommandsThrottles:", "Threshold: 0", "Threshold: 100", "CommandsThrottles has 100 as Threshold"},
		{"CommandsThrottles:", "GreaterThanThreshold", "LessThanThreshold", "CommandsThrottles has LessThanThreshold as ComparisonOperator"},
		{"CommandsThrottles:", "SUM(METRICS())", "m0", "CommandsThrottles looks at m0"},
		{"MachineCreatedLag:", "Minimum", "Maximum", "MachineCreatedLag has Maximum as Statistic"},
		{"MachineCreatedLag:", "OffsetLag", "IteratorAge", "no alarm looks at OffsetLag of MachineCreatedFunction"},
		{"DeadLetters:\n    Type: AWS::CloudWatch", "AlarmActions", "OKActions", "DeadLetters has nothing as AlarmActions"},
		{"ApiServerErrors:", "Value: !Ref Api}", "Value: sipeat}", "no alarm looks at AWS/ApiGateway 5xx Sum of ApiId <Api>"},
		{"QueriesErrors:", "Stat: Sum", "Stat: Average", "no alarm looks at Errors of GetContactFunction"},
		{"MachineCreatedLag:", "AWS/Lambda", "AWS/Kafka", "no alarm looks at OffsetLag of MachineCreatedFunction"},
		{"ApiServerErrors:", "MetricName: 5xx", "MetricName: 4xx", "no alarm looks at AWS/ApiGateway 5xx"},
	} {
		before, rest, found := strings.Cut(text, row.behind)
		require.True(t, found, row.behind)
		untouched, after, found := strings.Cut(rest, row.old)
		require.True(t, found, "%q behind %q", row.old, row.behind)
		said := added(unbroken, drift(before+row.behind+untouched+row.now+after, c))
		i := slices.IndexFunc(said, func(s string) bool { return strings.HasPrefix(withoutPlace(s), row.says) })
		if !assert.GreaterOrEqual(t, i, 0, "%q instead of %q behind %q: want %q, got\n%s", row.now, row.old, row.behind, row.says, strings.Join(said, "\n")) {
			continue
		}
		place, line := strings.TrimSuffix(said[i], withoutPlace(said[i])), 0
		_, err := fmt.Sscanf(place, "template.yaml:%d: ", &line)
		require.NoError(t, err, said[i])
		first := 1 + strings.Count(before, "\n")
		last := first + strings.Count(row.behind+untouched+row.now, "\n")
		missing := line == 1 || strings.HasPrefix(row.says, "no alarm") // what is missing is said where it belongs, or of the whole
		assert.True(t, missing || line >= first && line <= last+1, "it is between lines %d and %d: %s", first, last, said[i])
	}
}

// The other way round: what is new in the code is missed in the template.
func TestWhatIsNewInTheCodeIsMissed(t *testing.T) {
	t.Parallel()
	text, c := source(t, "template.yaml"), theCode(t)
	unbroken := drift(text, c)
	for says, change := range map[string]func(*code){
		"there is no GetOrderFunction for get-order of functions/queries/functions.go": func(c *code) {
			c.functions = append(c.functions, lambda{name: "get-order", side: "queries", route: "GET /orders/{id}", staff: true})
		},
		"there is no CupReturnedMapping for the topic cup-returned": func(c *code) {
			c.functions = append(c.functions, lambda{name: "cup-returned", side: "consumers", topic: "cup-returned", group: "g"})
		},
		"no AWS::MSK::Topic makes the topic cup-returned": func(c *code) { c.topics = append(c.topics, kafka.Topic{Name: "cup-returned"}) },
		"CreateContactFunction is open to everybody":      func(c *code) { c.functions[0].staff = true },
		"CreateContactFunction may not dynamodb:PutItem": func(c *code) {
			c.functions[0].needs = append(slices.Clone(c.functions[0].needs), "dynamodb:PutItem <ReadModel.Arn>")
		},
		"the program reads OTHER_NAME: give it to the functions": func(c *code) { c.reads = append(c.reads, "OTHER_NAME") },
		"functions are given NOTIFY_TO, which nothing reads": func(c *code) {
			c.reads = slices.DeleteFunc(slices.Clone(c.reads), func(name string) bool { return name == "NOTIFY_TO" })
		},
		"ContactCreatedDeadLettersCount has the pattern": func(c *code) { c.rejected = `{"msg":"event","result":"rejected"}` },
		"Api has MaxAge \"3600\", and servers answer Access-Control-Max-Age: 60": func(c *code) {
			c.cors = c.cors.Clone()
			c.cors.Set("Access-Control-Max-Age", "60")
		},
	} {
		changed := c
		changed.functions = slices.Clone(c.functions)
		change(&changed)
		said := added(unbroken, drift(text, changed))
		assert.True(t, slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(withoutPlace(s), says) }),
			"want %q, got\n%s", says, strings.Join(said, "\n"))
	}
}

// added are the faults that were not there before, whatever their lines.
func added(before, after []string) (more []string) {
	for _, fault := range after {
		if !slices.ContainsFunc(before, func(b string) bool { return withoutPlace(b) == withoutPlace(fault) }) {
			more = append(more, fault)
		}
	}
	return more
}

func withoutPlace(said string) string {
	_, fault, _ := strings.Cut(said, ": ")
	return fault
}
