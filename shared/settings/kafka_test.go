package settings

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKafka(t *testing.T) {
	none, err := Read(env())
	require.NoError(t, err)
	laptop := Kafka{Brokers: []string{"127.0.0.1:9092"}, SessionTimeout: 10 * time.Second}
	assert.Equal(t, laptop, none.Brokers, "a laptop needs no settings")
	assert.Equal(t, DefaultStore, none.Store)

	iam, err := Read(env("KAFKA_SASL_MECHANISM=aws_msk_iam", "KAFKA_BROKERS=b-1:9098, b-2:9098"))
	require.NoError(t, err)
	assert.True(t, iam.Brokers.TLS, "MSK takes it over TLS only")
	assert.Equal(t, []string{"b-1:9098", "b-2:9098"}, iam.Brokers.Brokers)

	open, err := Read(env("KAFKA_BROKERS=kafka:9092", "KAFKA_TLS=false", "KAFKA_SASL_MECHANISM=PLAIN", "KAFKA_SASL_USERNAME=u",
		"KAFKA_SASL_PASSWORD= p \r\n", "KAFKA_SESSION_TIMEOUT=1s", "KAFKA_INSTANCE_ID=worker-1"))
	require.NoError(t, err, "a trusted network")
	assert.Equal(t, " p ", open.Brokers.Password)
	assert.Equal(t, time.Second, open.Brokers.SessionTimeout)
	assert.Equal(t, "worker-1", open.Brokers.InstanceID)
}

func TestFaultsAreReportedTogetherAndRepeatNoValue(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "s3cret")
	require.NoError(t, os.WriteFile(text, []byte("no certificate"), 0o600))
	plain := map[string]string{"KAFKA_BROKERS": "kafka:9092", "KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": "s3cret",
		"KAFKA_SASL_PASSWORD": "s3cret"}
	for name, c := range map[string]struct {
		set   map[string]string
		texts []string
	}{
		"no host:port":             {map[string]string{"KAFKA_BROKERS": "s3cret"}, []string{"KAFKA_BROKERS: must be host:port"}},
		"a broker with a password": {map[string]string{"KAFKA_BROKERS": "u:s3cret@kafka:9092"}, []string{"KAFKA_BROKERS"}},
		"no broker":                {map[string]string{"KAFKA_BROKERS": ","}, []string{"KAFKA_BROKERS", "for example"}},
		"a password alone":         {map[string]string{"KAFKA_SASL_PASSWORD": "s3cret"}, []string{"need KAFKA_SASL_MECHANISM="}},
		"a mechanism alone": {map[string]string{"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"},
			[]string{"KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"}},
		"an unknown mechanism": {map[string]string{"KAFKA_SASL_MECHANISM": "s3cret"},
			[]string{"KAFKA_SASL_MECHANISM: must be PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or AWS_MSK_IAM"}},
		"IAM with a password": {map[string]string{"KAFKA_SASL_MECHANISM": "AWS_MSK_IAM", "KAFKA_SASL_PASSWORD": "s3cret"},
			[]string{"AWS_ACCESS_KEY_ID"}},
		"IAM without TLS": {map[string]string{"KAFKA_SASL_MECHANISM": "AWS_MSK_IAM", "KAFKA_TLS": "false"},
			[]string{"KAFKA_TLS=false: contradicts"}},
		"a password without TLS": {plain, []string{"KAFKA_TLS=true", "KAFKA_TLS=false"}},
		"no such CA file": {map[string]string{"KAFKA_TLS_CA_FILE": filepath.Join(folder, "s3cret", "none")},
			[]string{"KAFKA_TLS_CA_FILE: cannot be read"}},
		"no CA in the file":    {map[string]string{"KAFKA_TLS_CA_FILE": text}, []string{"KAFKA_TLS_CA_FILE", "PEM", "for example"}},
		"a CA file and no TLS": {map[string]string{"KAFKA_TLS_CA_FILE": text, "KAFKA_TLS": "false"}, []string{"KAFKA_TLS=false"}},
		"no flag":              {map[string]string{"KAFKA_TLS": "s3cret"}, []string{"KAFKA_TLS: must be true or false"}},
		"no duration":          {map[string]string{"KAFKA_SESSION_TIMEOUT": "s3cret"}, []string{"must be a duration", "for example"}},
		"too short a duration": {map[string]string{"KAFKA_SESSION_TIMEOUT": "10ms"}, []string{"KAFKA_SESSION_TIMEOUT", "1s"}},
		"no instance id":       {map[string]string{"KAFKA_INSTANCE_ID": "s3cret 1"}, []string{"KAFKA_INSTANCE_ID", "for example"}},
		"another case":         {map[string]string{"STORE": "DynamoDB"}, []string{"STORE: must be the path"}},
		"a URL for a file":     {map[string]string{"STORE": "postgres://u:s3cret@h/d"}, []string{"STORE: must be the path"}},
		"no table":             {map[string]string{"TABLE_NAME": "s3cret!"}, []string{"TABLE_NAME", "for example"}},
		"one table for both":   {map[string]string{"TABLE_NAME": "sipeat-claims"}, []string{"another table than TABLE_NAME"}},
		"no level":             {map[string]string{"LOG_LEVEL": "s3cret"}, []string{"LOG_LEVEL: must be debug, info, warn or error"}},
		"no format":            {map[string]string{"LOG_FORMAT": "s3cret"}, []string{"LOG_FORMAT: must be text or json"}},
		"no address":           {map[string]string{"METRICS": "s3cret"}, []string{"METRICS: must be host:port"}},
		"no age":               {map[string]string{"NOTIFY_RETRY_FOR": "s3cret"}, []string{"NOTIFY_RETRY_FOR: must be a duration"}},
		"several, all of them at once": {map[string]string{"KAFKA_TLS": "maybe", "KAFKA_BROKERS": "kafka",
			"KAFKA_SASL_PASSWORD": "s3cret", "LOG_LEVEL": "loud"},
			[]string{"KAFKA_TLS", "KAFKA_BROKERS", "KAFKA_SASL_MECHANISM", "LOG_LEVEL"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(func(name string) string { return c.set[name] })
			require.Error(t, err)
			for _, text := range c.texts {
				assert.ErrorContains(t, err, text)
			}
			assert.NotContains(t, err.Error(), "s3cret")
		})
	}
}
