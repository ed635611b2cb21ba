package settings_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestHowKafkaIsReached(t *testing.T) {
	none, err := settings.Read(environment(nil))
	require.NoError(t, err)
	assert.Equal(t, settings.Kafka{Brokers: []string{"127.0.0.1:9092"}}, none.Brokers, "a laptop needs no settings")
	assert.Equal(t, settings.DefaultStore, none.Store)

	iam, err := settings.Read(environment(map[string]string{"KAFKA_SASL_MECHANISM": "aws_msk_iam", "KAFKA_BROKERS": "b-1:9098, b-2:9098"}))
	require.NoError(t, err)
	assert.True(t, iam.Brokers.TLS, "MSK takes it over TLS only")
	assert.Equal(t, []string{"b-1:9098", "b-2:9098"}, iam.Brokers.Brokers)

	open, err := settings.Read(environment(map[string]string{
		"KAFKA_BROKERS": "kafka:9092", "KAFKA_TLS": "false", "KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": " p ",
		"KAFKA_SESSION_TIMEOUT": "1s", "KAFKA_INSTANCE_ID": "worker-1",
	}))
	require.NoError(t, err, "whoever says so may send a password in the open")
	assert.Equal(t, " p ", open.Brokers.Password)
	assert.Equal(t, time.Second, open.Brokers.SessionTimeout)
	assert.Equal(t, "worker-1", open.Brokers.InstanceID)
}

func TestWhatCannotBeRightIsNamedTogether(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "text")
	require.NoError(t, os.WriteFile(text, []byte("no certificate"), 0o600))
	for name, c := range map[string]struct {
		set  map[string]string
		says []string
	}{
		"no host:port":               {map[string]string{"KAFKA_BROKERS": "kafka"}, []string{"KAFKA_BROKERS", "for example"}},
		"nobody":                     {map[string]string{"KAFKA_BROKERS": ","}, []string{"KAFKA_BROKERS", "for example"}},
		"a password alone":           {map[string]string{"KAFKA_SASL_PASSWORD": "s3cret"}, []string{"KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"}},
		"a mechanism alone":          {map[string]string{"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"}, []string{"KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"}},
		"an unknown mechanism":       {map[string]string{"KAFKA_SASL_MECHANISM": "GSSAPI"}, []string{"GSSAPI", "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, AWS_MSK_IAM"}},
		"IAM with a password":        {map[string]string{"KAFKA_SASL_MECHANISM": "AWS_MSK_IAM", "KAFKA_SASL_PASSWORD": "s3cret"}, []string{"AWS_ACCESS_KEY_ID"}},
		"IAM in the open":            {map[string]string{"KAFKA_SASL_MECHANISM": "AWS_MSK_IAM", "KAFKA_TLS": "false"}, []string{"KAFKA_TLS"}},
		"a password in the open":     {map[string]string{"KAFKA_BROKERS": "kafka:9092", "KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "s3cret"}, []string{"KAFKA_TLS=true", "KAFKA_TLS=false"}},
		"no such CA file":            {map[string]string{"KAFKA_TLS_CA_FILE": filepath.Join(folder, "none")}, []string{"KAFKA_TLS_CA_FILE", "none"}},
		"a CA file without any":      {map[string]string{"KAFKA_TLS_CA_FILE": text}, []string{"KAFKA_TLS_CA_FILE", "PEM", "for example"}},
		"a folder for a CA file":     {map[string]string{"KAFKA_TLS_CA_FILE": folder}, []string{"KAFKA_TLS_CA_FILE", "cannot be read"}},
		"a CA file and no TLS":       {map[string]string{"KAFKA_TLS_CA_FILE": text, "KAFKA_TLS": "false"}, []string{"KAFKA_TLS=false"}},
		"maybe TLS":                  {map[string]string{"KAFKA_TLS": "maybe"}, []string{"KAFKA_TLS", "maybe", "for example"}},
		"no time":                    {map[string]string{"KAFKA_SESSION_TIMEOUT": "10"}, []string{"KAFKA_SESSION_TIMEOUT", "for example"}},
		"too short a time":           {map[string]string{"KAFKA_SESSION_TIMEOUT": "10ms"}, []string{"KAFKA_SESSION_TIMEOUT", "1s"}},
		"a name that Kafka refuses":  {map[string]string{"KAFKA_INSTANCE_ID": "worker 1"}, []string{"KAFKA_INSTANCE_ID", "for example"}},
		"no table":                   {map[string]string{"TABLE_NAME": "bad name!"}, []string{"TABLE_NAME", "bad name!", "for example"}},
		"no level":                   {map[string]string{"LOG_LEVEL": "loud"}, []string{"LOG_LEVEL", "loud", "warn", "for example"}},
		"several, all of them named": {map[string]string{"KAFKA_TLS": "maybe", "KAFKA_BROKERS": "kafka", "KAFKA_SASL_PASSWORD": "s3cret", "LOG_LEVEL": "loud"}, []string{"KAFKA_TLS", "KAFKA_BROKERS", "KAFKA_SASL_MECHANISM", "LOG_LEVEL"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := settings.Read(environment(c.set))
			require.Error(t, err)
			for _, text := range c.says {
				assert.ErrorContains(t, err, text)
			}
			assert.NotContains(t, err.Error(), "s3cret")
		})
	}
}
