package program

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// SCRAM over TLS, and the message for each mistake. KAFKA_SASL_BROKERS lists brokers that require a login; the other
// settings are the program's own.
func TestLoginAtApacheKafka(t *testing.T) {
	brokers := os.Getenv("KAFKA_SASL_BROKERS")
	if brokers == "" || os.Getenv("KAFKA_BROKERS") == "" {
		t.Skip("set KAFKA_BROKERS to a Kafka without login, and KAFKA_SASL_BROKERS, KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME, " +
			"KAFKA_SASL_PASSWORD and KAFKA_TLS_CA_FILE to one with a login over TLS")
	}
	lockGroups(t)
	store := "STORE=" + filepath.Join(t.TempDir(), "read-model.db")
	environment := func(changes map[string]string) (all []string) {
		for _, name := range []string{"KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "KAFKA_TLS_CA_FILE"} {
			all = append(all, name+"="+os.Getenv(name))
		}
		all = append(all, "KAFKA_BROKERS="+brokers, store)
		for name, value := range changes { // the last one counts
			all = append(all, name+"="+value)
		}
		return all
	}
	made := Finish(t, set(command(t, "topics"), environment(nil)...), "")
	require.Equal(t, 0, made.Status, made.Stderr)
	w := Start(t, set(command(t, "worker"), environment(nil)...))
	w.Says(w.Stdout, "ready topics=")
	doctor := set(command(t, "doctor"), environment(nil)...)
	assert.Contains(t, Finish(t, doctor, "").Stdout, "address ok, TLS ok, login ok (SCRAM-SHA-512)")
	w.Stop(syscall.SIGTERM)

	noLogin := map[string]string{"KAFKA_SASL_MECHANISM": "", "KAFKA_SASL_USERNAME": "", "KAFKA_SASL_PASSWORD": ""}
	for name, c := range map[string]struct {
		changes map[string]string
		says    []string
	}{
		"wrong password": {map[string]string{"KAFKA_SASL_PASSWORD": "wr0ng"}, []string{"wrong password", "KAFKA_SASL_PASSWORD"}},
		"unknown user":   {map[string]string{"KAFKA_SASL_USERNAME": "nobody"}, []string{`"nobody"`, "no such user"}},
		"wrong mechanism": {map[string]string{"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"},
			[]string{"SCRAM-SHA-256", "does not offer"}},
		"no login":            {noLogin, []string{"requires a login", "SCRAM-SHA-512"}},
		"plain to a TLS port": {map[string]string{"KAFKA_TLS_CA_FILE": ""}, []string{"this port speaks TLS", "KAFKA_TLS=true"}},
		"TLS to a plain port": {map[string]string{"KAFKA_BROKERS": os.Getenv("KAFKA_BROKERS")}, []string{"without TLS"}},
	} {
		for _, program := range []string{"topics --check", "worker"} {
			got := Finish(t, set(command(t, strings.Fields(program)...), environment(c.changes)...), "")
			assert.Equal(t, 1, got.Status, "%s, %s", name, program)
			assert.Empty(t, got.Stdout)
			for _, text := range c.says {
				assert.Contains(t, got.Stderr, text, "%s, %s", name, program)
			}
			assert.NotContains(t, got.Stderr, os.Getenv("KAFKA_SASL_PASSWORD"))
			assert.NotContains(t, got.Stderr, "wr0ng")
		}
	}
}
