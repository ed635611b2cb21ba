package main

import (
	"bytes"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/web/apigateway"
)

const root = "../../.."

func generated(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, generate(&out))
	return out.String()
}

func all(t *testing.T) []function {
	t.Helper()
	fs, err := functions()
	require.NoError(t, err)
	return fs
}

func TestTemplateIsUpToDate(t *testing.T) {
	t.Parallel()
	committed, err := os.ReadFile(filepath.Join(root, "template.yaml"))
	require.NoError(t, err)
	if string(committed) != generated(t) {
		t.Error("template.yaml differs from the functions, the events or its own template: run `make template`")
	}
	assert.NoError(t, yaml.Unmarshal(committed, new(yaml.Node)))
}

// protocol lists the rights that no fake can observe: what Kafka's protocol needs with each access
// (https://docs.aws.amazon.com/msk/latest/developerguide/kafka-actions.html), what a mapping does with the role of its
// function (https://docs.aws.amazon.com/lambda/latest/dg/with-msk-permissions.html, …/msk-cluster-auth.html), and the
// rights for mail and for a key.
func protocol(f function, observed []string) (rights []string) {
	if f.Side != "queries" {
		rights = append(rights, "kafka-cluster:Connect cluster", "kafka-cluster:WriteDataIdempotently cluster")
	}
	for _, right := range observed {
		if topic, writes := strings.CutPrefix(right, "kafka-cluster:WriteData "); writes {
			rights = append(rights, "kafka-cluster:DescribeTopic "+topic)
		}
	}
	if f.Side == "consumers" {
		rights = append(rights,
			"kafka:DescribeClusterV2 cluster", "kafka:GetBootstrapBrokers cluster",
			"kafka-cluster:DescribeClusterDynamicConfiguration cluster",
			"kafka-cluster:DescribeTopic topic/"+f.Topic, "kafka-cluster:ReadData topic/"+f.Topic,
			"kafka-cluster:DescribeGroup group/"+f.Group, "kafka-cluster:AlterGroup group/"+f.Group)
	}
	if f.Topic == "notification" { // SES takes a raw message by either name: package ses explains it
		rights = append(rights, "ses:SendEmail identity", "ses:SendRawEmail identity", "kms:Decrypt key")
	}
	return rights
}

func TestFunctionsHaveTheRightsThatTheyUseAndNoOthers(t *testing.T) {
	t.Parallel()
	for _, f := range all(t) {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			n := &needs{}
			used := n.of(t, f)
			used = append(used, protocol(f, used)...)
			var granted []string
			for _, s := range f.Statements() {
				conditions := s.keys + s.condition
				assert.True(t, conditions == "" || !strings.Contains(s.resources, " "), "a condition on one resource")
				for action := range strings.FieldsSeq(s.actions) {
					for resource := range strings.FieldsSeq(s.resources) {
						granted = append(granted, s.service+":"+action+" "+resource)
					}
					if s.resources != item {
						continue
					}
					used := n.keys["dynamodb:"+action+" "+item]
					assert.NotEmpty(t, used, "%s of %s", action, s.keys)
					for _, key := range used {
						matches := slices.ContainsFunc(strings.Fields(s.keys), func(pattern string) bool {
							matches, err := path.Match(pattern, key)
							return err == nil && matches
						})
						assert.True(t, matches, "%s of the partition key %q, which %q does not match", action, key, s.keys)
					}
				}
			}
			slices.Sort(used)
			slices.Sort(granted)
			assert.Equal(t, slices.Compact(used), granted, "its row in shared/proof/template/functions.go")
		})
	}
}

// notGiven lists the settings that no function has, with the reason.
var notGiven = map[string]string{
	"LOG_LEVEL": "all functions have it: it is in Globals",
	"AUTH AUTH_TOKEN JWT_ISSUER JWT_AUDIENCE CORS_ORIGINS THROTTLE_RATE THROTTLE_BURST THROTTLE_STAFF_RATE THROTTLE_STAFF_BURST " +
		"TRUSTED_PROXIES TLS_IN_FRONT HTTP_MAX_CONNECTIONS HTTP_IDLE_TIMEOUT": "API Gateway does that",
	"AWS_SAM_LOCAL":                        "sam local sets it",
	"SIPEAT_HTTP SIPEAT_KAFKA SIPEAT_DATA": "of sipeat serve",
	"STORE CLAIMS_FILE":                    "a function has DynamoDB only",
	"METRICS":                              "CloudWatch has them",
	"HEALTH":                               "of sipeat worker",
	"LOG_FORMAT":                           "a function logs JSON",
	"KAFKA_TLS KAFKA_TLS_CA_FILE KAFKA_SASL_USERNAME KAFKA_SASL_PASSWORD":  "IAM login uses TLS, public certificates and the role",
	"KAFKA_SESSION_TIMEOUT KAFKA_INSTANCE_ID KAFKA_GROUP_PROTOCOL":         "the mapping is the member of the group",
	"AWS_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN": "Lambda sets them, or they are not needed",
}

// TestEverySettingIsDecided compares the names that the program reads with those that functions have.
func TestEverySettingIsDecided(t *testing.T) {
	t.Parallel()
	var read []string
	getenv := func(name string) string { read = append(read, name); return "" }
	_, _ = settings.Read(getenv)
	_, _ = dynamodb.FromEnvironment(getenv)
	apigateway.Function(commands.Commands{}.Functions()[0], slog.Default(), getenv)
	var decided []string
	for names := range notGiven {
		decided = append(decided, strings.Fields(names)...)
	}
	for _, f := range all(t) {
		for _, pair := range f.Settings() {
			assert.Contains(t, read, pair[0], "a setting that nothing reads")
			decided = append(decided, pair[0])
		}
	}
	for _, name := range read {
		assert.Contains(t, decided, name, "give it to the functions that use it, or add the reason to notGiven")
	}
}

// A value that a parameter allows lets the functions start, and means what it says.
func TestParametersAllowWhatSettingsDo(t *testing.T) {
	t.Parallel()
	var template struct {
		Parameters map[string]struct {
			Pattern string `yaml:"AllowedPattern"`
		} `yaml:"Parameters"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(generated(t)), &template))
	for _, c := range []struct {
		parameter, setting, value string
		allowed                   bool
	}{
		{"NotifyRetryFor", "NOTIFY_RETRY_FOR", "9999s", true}, {"NotifyRetryFor", "NOTIFY_RETRY_FOR", "999m", true},
		{"NotifyRetryFor", "NOTIFY_RETRY_FOR", "99h", true}, {"NotifyRetryFor", "NOTIFY_RETRY_FOR", "721h", false},
		{"AnnouncedByProducer", "ANNOUNCED_BY_PRODUCER", "none", true}, {"AnnouncedByProducer", "ANNOUNCED_BY_PRODUCER", "a,b", true},
		{"AnnouncedByProducer", "ANNOUNCED_BY_PRODUCER", "", false}, // the setting's default, and not none
	} {
		assert.Equal(t, c.allowed, regexp.MustCompile(template.Parameters[c.parameter].Pattern).MatchString(c.value), "%+v", c)
		_, err := settings.Read(func(name string) string { return map[string]string{c.setting: c.value}[name] })
		assert.True(t, err == nil || !c.allowed, "%+v: %v", c, err)
	}
}

// The alarm DeadLetters counts log lines, by their field outcome.
func TestDeadLettersAreLoggedAsTheFilterExpects(t *testing.T) {
	t.Parallel()
	for outcome, counts := range map[bus.Outcome]bool{bus.Rejected: true, bus.Done: false} {
		var line strings.Builder
		bus.Log(slog.New(slog.NewJSONHandler(&line, nil)), "group", slog.LevelDebug)(bus.Report{Outcome: outcome, Class: bus.Refused})
		assert.Equal(t, counts, strings.Contains(line.String(), `"outcome":"rejected"`), line.String())
	}
	assert.Contains(t, text, `FilterPattern: '{ $.outcome = "rejected" }'`)
}

// A function has one name in four spellings: its file, its sample and its resource have it too.
func TestEachFunctionHasItsFileAndItsSample(t *testing.T) {
	t.Parallel()
	samples := []string{"testdata.go"} // embeds them
	for _, f := range all(t) {
		samples = append(samples, f.Name+".json")
		assert.FileExists(t, filepath.Join(root, "functions", f.Side, strings.ReplaceAll(f.Name, "-", "_")+".go"))
		assert.FileExists(t, filepath.Join(root, "functions", f.Side, "bootstrap", "main.go"))
	}
	entries, err := os.ReadDir(filepath.Join(root, "functions", "testdata"))
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	assert.ElementsMatch(t, samples, names, "functions/testdata")
}
