package program

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServeRefusesWhatIsInUse(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	address, data := taken(t), t.TempDir()
	for arguments, says := range map[string][]string{
		s.Data:                       {"in use by another process", s.Data},
		file:                         {file},
		data + " --http " + address:  {"in use", address},
		data + " --kafka " + address: {"in use", address},
	} {
		refused := Run(t, "", strings.Fields("serve --http 127.0.0.1:0 --kafka 127.0.0.1:0 --data "+arguments)...)
		assert.Equal(t, 1, refused.Status, arguments)
		assert.Empty(t, refused.Stdout)
		for _, text := range says {
			assert.Contains(t, refused.Stderr, text)
		}
	}
	s.Readable("/contacts", s.Post("/contacts", AContact).ID)
	serve(t, data) // the folder is free
}

// Wrong usage and wrong settings: exit status 2, and a reason.
func TestWrongUsageIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ arguments, environment, says string }{
		"reachable from other machines": {"serve --http 0.0.0.0:0", "", "--http,127.0.0.1"},
		"the same in the environment":   {"serve", "SIPEAT_HTTP=0.0.0.0:1", "SIPEAT_HTTP"},
		"all wrong flags together":      {"serve --http x --kafka y", "", "--http,--kafka"},
		"unknown flag":                  {"serve --htpp x", "", "--htpp,sipeat serve --help"},
		"argument":                      {"serve now", "", "now,sipeat serve --help"},
		"unknown command":               {"sevre", "", "sevre,sipeat --help"},
		"all wrong settings together":   {"serve", "LOG_LEVEL=loud LOG_FORMAT=xml METRICS=9090", "LOG_LEVEL,LOG_FORMAT,METRICS"},
		"unknown exporter":              {"serve", "OTEL_TRACES_EXPORTER=key-canary", "OTEL_TRACES_EXPORTER"},
		"headers of the exporter": {"serve", "OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_HEADERS=Authorization:key-canary",
			"_HEADERS"},
		"address of the exporter":    {"serve", "OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_ENDPOINT=::key-canary::", "_ENDPOINT"},
		"brokers":                    {"tail x", "KAFKA_BROKERS=kafka", "KAFKA_BROKERS"},
		"publish of an unknown type": {"publish contact-deleted", "", "contact-deleted,sipeat publish --help"},
		"tail without a topic":       {"tail", "", "sipeat tail --help"},
		"help on an unknown command": {"help sevre", "", "sevre"},
		"filter without a value":     {"dead-letters preview --key=", "", "--key"},
		"key without a value":        {"publish contact-created --idempotency-key=", "", "--idempotency-key"},
		"nothing to rebuild":         {"rebuild --store=", "", "--store"},
		"nothing to compare with":    {"rebuild --store a.db --compare b.db", "", "--compare,b.db"},
		"a table built as a file":    {"rebuild --store dynamodb", "", "--store,--table"},
		"unknown AWS profile":        {"worker", "KAFKA_SASL_MECHANISM=AWS_MSK_IAM AWS_PROFILE=nobody", "nobody,AWS_PROFILE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused := Finish(t, set(command(t, strings.Fields(c.arguments)...), strings.Fields(c.environment)...), "")
			assert.Equal(t, 2, refused.Status, refused.Stdout)
			assert.Empty(t, refused.Stdout)
			assert.NotContains(t, refused.Stderr, "canary", "a wrong value may be a secret")
			for text := range strings.SplitSeq(c.says, ",") {
				assert.Contains(t, refused.Stderr, text)
			}
		})
	}
}
