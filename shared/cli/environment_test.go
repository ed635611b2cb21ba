package cli

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMisspeltNamesAreNoticed(t *testing.T) {
	meant := func(environ ...string) map[string]string {
		all := map[string]string{}
		for _, m := range misspelt(environ) {
			all[m.name] = m.meant
		}
		return all
	}
	assert.Equal(t, map[string]string{
		"KAFKA_BROKER": "KAFKA_BROKERS", "kafka_tls": "KAFKA_TLS", "LOGLEVEL": "LOG_LEVEL", "STOR": "STORE", "JWT_AUDIENCES": "JWT_AUDIENCE",
		"AUTH_TOKENS": "AUTH_TOKEN", "DYNAMO_DB_ENDPOINT": "DYNAMODB_ENDPOINT", "THROTLE_STAFF_RATE": "THROTTLE_STAFF_RATE", "NOTIFIY": "NOTIFY",
	}, meant("KAFKA_BROKER=kafka:9092", "kafka_tls=true", "LOGLEVEL=debug", "STOR=x", "JWT_AUDIENCES=a", "AUTH_TOKENS=t",
		"DYNAMO_DB_ENDPOINT=http://127.0.0.1:8000", "THROTLE_STAFF_RATE=1", "NOTIFIY=log"))
	assert.Empty(t, meant("KAFKA_BROKERS=kafka:9092", "SMTP_URL=smtp://x", "KAFKA_HOME=/opt/kafka", "KAFKA_HEAP_OPTS=-Xmx1g", "KAFKA_OPTS=x", "KAFKA_SASL_BROKERS=x",
		"PATH=/bin", "HOME=/root", "TERM=xterm", "SHELL=/bin/sh", "AWS_REGION=eu-west-1", "OTEL_TRACES_EXPORTER=otlp", "HTTP_PROXY=http://x", "NO_COLOR=1", "KAFKA_BROKER=", "=C:=x"))

	found := checkEnvironment([]string{"SMTP_URI=smtp://user:canary@mail"})
	assert.Equal(t, []finding{{Subject: "SMTP_URI", Status: noted, Says: "it is set, and nothing reads it", Remedy: "if SMTP_URL is meant, set that"}}, found)
}
