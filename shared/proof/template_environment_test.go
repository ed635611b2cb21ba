package proof

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/shared/notify/ses"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/web/apigateway"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// namesSet says which functions get which name: those that use it, and no other.
var namesSet = []struct {
	names []string
	who   func(lambda) bool
}{
	{[]string{"LOG_LEVEL"}, func(lambda) bool { return true }},
	{[]string{"KAFKA_BROKERS", "KAFKA_SASL_MECHANISM"}, func(f lambda) bool { return f.side != "queries" }},
	{[]string{"API_BASE_PATH"}, func(f lambda) bool { return f.route != "" }},
	{[]string{"JWT_SCOPE"}, func(f lambda) bool { return f.staff }},
	{[]string{"TABLE_NAME", "DYNAMODB_ENDPOINT"}, func(f lambda) bool { return f.side != "commands" }},
	{[]string{"CLAIMS_TABLE_NAME"}, func(f lambda) bool { return f.topic == "notification" }},
	{[]string{"PARTIAL_BATCH_RESPONSES"}, func(f lambda) bool { return f.side == "consumers" }},
	{[]string{"ANNOUNCED_BY_PRODUCER"}, func(f lambda) bool { return f.side == "consumers" && f.topic != "notification" }},
	{[]string{"NOTIFY", "NOTIFY_FROM", "NOTIFY_TO", "NOTIFY_RETRY_FOR", "SMTP_URL", "DISCORD_WEBHOOK"}, func(f lambda) bool { return f.topic == "notification" }},
}

// namesLeft are what the program reads and a function is not given, and why.
var namesLeft = map[string]string{
	"AUTH AUTH_TOKEN JWT_ISSUER JWT_AUDIENCE CORS_ORIGINS THROTTLE_RATE THROTTLE_BURST THROTTLE_STAFF_RATE THROTTLE_STAFF_BURST " +
		"TRUSTED_PROXIES TLS_IN_FRONT HTTP_MAX_CONNECTIONS HTTP_IDLE_TIMEOUT": "API Gateway does that",
	"AWS_SAM_LOCAL":                        "sam local sets it",
	"SIPEAT_HTTP SIPEAT_KAFKA SIPEAT_DATA": "of sipeat serve",
	"STORE CLAIMS_FILE":                    "a function has DynamoDB and nothing else",
	"METRICS":                              "CloudWatch has them",
	"LOG_FORMAT":                           "a function logs JSON",
	"KAFKA_TLS KAFKA_TLS_CA_FILE KAFKA_SASL_USERNAME KAFKA_SASL_PASSWORD":                     "IAM login is TLS, by Amazon's public certificates and the role's credentials",
	"KAFKA_SESSION_TIMEOUT KAFKA_INSTANCE_ID":                                                 "the mapping is the group's member",
	"AWS_REGION AWS_DEFAULT_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN": "Lambda sets them, or there is no need",
	"AWS_ENDPOINT_URL AWS_ENDPOINT_URL_SESV2":                                                 "a stand-in for SES is not reached from AWS",
}

// namesRead are the names that the program asks its environment for, as seen by running what reads it, and those of Lambda's
// own, as they stand in its sources.
func namesRead(t *testing.T) (names []string) {
	t.Helper()
	names = settings.Names()
	getenv := func(name string) string {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		return ""
	}
	_, _ = dynamodb.FromEnvironment(getenv)
	ses.Environment(getenv)
	apigateway.Function(commands.Commands{}.Functions()[0], slog.Default(), getenv)
	for _, dir := range []string{"functions", "shared"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if strings.Contains(string(text), `"PARTIAL_BATCH_RESPONSES"`) {
				getenv("PARTIAL_BATCH_RESPONSES")
			}
			return err
		}))
	}
	return names
}

// setting is what a function is given as a name: the value of the parameter that is spelt like it.
func (s *stack) setting(name string) string {
	if name == "PARTIAL_BATCH_RESPONSES" {
		return strconv.FormatBool(s.parameters["MinimumPollers"] != "0")
	}
	for parameter, value := range s.parameters {
		if strings.EqualFold(parameter, strings.ReplaceAll(name, "_", "")) {
			return value
		}
	}
	return ""
}

func (d *drifting) environment(s *stack, c code) {
	variables := func(n *yaml.Node) map[string]*yaml.Node { return members(child(n, "Environment", "Variables")) }
	wanted := func(f lambda, name string) bool {
		for _, set := range namesSet {
			if slices.Contains(set.names, name) {
				return set.who(f)
			}
		}
		return false
	}
	everywhere := variables(s.globals)
	for _, f := range c.functions {
		id := f.logical() + "Function"
		if s.resources[id] == nil {
			continue
		}
		own := variables(child(s.resources[id], "Properties"))
		at := []*yaml.Node{child(s.resources[id], "Properties", "Environment"), s.resources[id]}
		for _, set := range namesSet {
			for _, name := range set.names {
				if set.who(f) && own[name] == nil && everywhere[name] == nil {
					d.say(at, "%s is not given %s, which its code reads", id, name)
				}
			}
		}
		for _, given := range []map[string]*yaml.Node{own, everywhere} {
			for name, n := range given {
				if !wanted(f, name) {
					d.say([]*yaml.Node{n}, "%s is given %s, which its code does not read", id, name)
				} else if want := s.setting(name); s.text(n) != want {
					d.say([]*yaml.Node{n}, "%s is given %q as %s, and it has to be %q: the parameter of that name", id, s.text(n), name, want)
				}
			}
		}
	}
	for _, name := range []string{"SmtpUrl", "DiscordWebhook"} {
		if n := s.declared[name]; n == nil || s.text(child(n, "NoEcho")) != "true" {
			d.say([]*yaml.Node{n}, "%s holds a secret and has no NoEcho: true, so that everybody who sees the stack reads it", name)
		}
	}
	var decided []string
	for _, set := range namesSet {
		for _, name := range set.names {
			decided = append(decided, name)
			if !slices.Contains(c.reads, name) {
				d.say(nil, "functions are given %s, which nothing reads", name)
			}
		}
	}
	for names := range namesLeft {
		decided = append(decided, strings.Fields(names)...)
	}
	for _, name := range c.reads {
		if !slices.Contains(decided, name) {
			d.say(nil, "the program reads %s: give it to the functions that use it (namesSet), or say why none does (namesLeft)", name)
		}
	}
}
