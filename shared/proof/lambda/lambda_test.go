package lambda

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/functions/testdata"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/proof/port"
	"github.com/sipeat/sipeat/shared/proof/program"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func lambdaSample(t testing.TB, function string) []byte {
	t.Helper()
	payload, err := testdata.Samples.ReadFile(function + ".json")
	require.NoError(t, err)
	return payload
}

// topicsAt opens an embedded broker with all topics at an address, on a folder.
func topicsAt(t testing.TB, data, address string) *local.Broker {
	t.Helper()
	b, err := local.Open(t.Context(), local.Options{Dir: data, Address: address})
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	_, err = kafka.MakeTopics(t.Context(), settings.Kafka{Brokers: []string{b.Address()}}, kafka.Topics(events.Catalogue()...)...)
	require.NoError(t, err)
	return b
}

// dead is an address without a listener.
func dead(t testing.TB) string {
	t.Helper()
	address, err := port.Free()
	require.NoError(t, err)
	return address
}

// silent is an address that accepts connections and never answers.
func silent(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", dead(t))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	}()
	return l.Addr().String()
}

// Each of the 17 functions, in its binary, answers its sample; the queries read the events of the consumers' samples.
func TestLambdasAnswerTheirSamples(t *testing.T) {
	endpoint := os.Getenv("DYNAMODB_ENDPOINT")
	if endpoint == "" {
		t.Skip("set DYNAMODB_ENDPOINT to a DynamoDB Local, such as http://127.0.0.1:8000, to run this")
	}
	broker := topicsAt(t, t.TempDir(), dead(t))
	table := "lambda-" + uuid.NewString()
	environment := []string{"KAFKA_BROKERS=" + broker.Address(), "DYNAMODB_ENDPOINT=" + endpoint, "TABLE_NAME=" + table,
		"CLAIMS_TABLE_NAME=" + table + "-claims"}
	cfg, err := dynamodb.FromEnvironment(func(name string) string {
		return map[string]string{"DYNAMODB_ENDPOINT": endpoint, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test",
			"AWS_SECRET_ACCESS_KEY": "test"}[name]
	})
	require.NoError(t, err)
	model, err := dynamodb.Open(cfg, table)
	require.NoError(t, err)
	defer model.Close()
	require.NoError(t, model.Create(program.Within(t)))
	claims, err := dynamodb.OpenClaims(cfg, table+"-claims", time.Now)
	require.NoError(t, err)
	defer claims.Close()
	require.NoError(t, claims.Create(program.Within(t)))

	for _, f := range (consumers.Consumers{}).Functions() {
		l := startLambda(t, "consumers", f.Name, append(environment, "PARTIAL_BATCH_RESPONSES=true")...)
		answered := l.invoke(lambdaSample(t, f.Name), time.Minute)
		require.Empty(t, answered.failure, f.Name)
		assert.JSONEq(t, `{"batchItemFailures":[]}`, string(answered.response), f.Name)
	}
	for _, f := range (commands.Commands{}).Functions() {
		l := startLambda(t, "commands", f.Name, environment...)
		answered := l.invoke(lambdaSample(t, f.Name), time.Minute).http(t)
		assert.Equal(t, http.StatusAccepted, answered.StatusCode, "%s: %s", f.Name, answered.Body)
	}
	for _, f := range (queries.Queries{}).Functions() {
		l := startLambda(t, "queries", f.Name, environment...)
		answered := l.invoke(lambdaSample(t, f.Name), time.Minute).http(t)
		assert.Equal(t, http.StatusOK, answered.StatusCode, "%s: %s", f.Name, answered.Body)
	}
}

// A function that cannot start logs one line with all reasons.
func TestLambdaLogsWhyItCannotStart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, side, function string
		environment          []string
		says                 []string
	}{
		{"an unknown function", "commands", "get-contact", []string{"KAFKA_BROKERS=b:9098"},
			[]string{`"get-contact"`, "create-contact, create-machine"}},
		{"no table", "queries", "get-contact", nil, []string{"TABLE_NAME: must be set"}},
		{"several faults", "consumers", "notification", []string{"KAFKA_BROKERS=b", "LOG_LEVEL=loud"},
			[]string{"KAFKA_BROKERS: ", "LOG_LEVEL: ", "TABLE_NAME: must be set"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := startLambda(t, c.side, c.function, c.environment...)
			assert.Equal(t, 1, l.Wait())
			require.Len(t, program.Lines(l.Stderr.String()), 1, l.Stderr)
			for _, says := range c.says {
				assert.Contains(t, l.Stderr.String(), says)
			}
		})
	}
}

// The same process answers 202 as soon as Kafka is up.
func TestLambdaWithoutKafkaAnswers503(t *testing.T) {
	t.Parallel()
	address := dead(t)
	l := startLambda(t, "commands", "create-contact", "KAFKA_BROKERS="+address)
	answered := l.invoke(lambdaSample(t, "create-contact"), 30*time.Second).http(t)
	require.Equal(t, http.StatusServiceUnavailable, answered.StatusCode, answered.Body)
	assert.Contains(t, answered.Body, `"eventId"`)
	assert.NotEmpty(t, answered.Headers["Retry-After"])

	topicsAt(t, t.TempDir(), address)
	program.Until(t, func() error {
		answered := l.invoke(lambdaSample(t, "create-contact"), 30*time.Second).http(t)
		if answered.StatusCode != http.StatusAccepted {
			return fmt.Errorf("%d: %s", answered.StatusCode, answered.Body)
		}
		return nil
	})
}

// Lambda freezes the process between invocations; meanwhile the broker has closed its connections.
func TestLambdaContinuesAfterAFreeze(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	broker := topicsAt(t, data, dead(t))
	l := startLambda(t, "commands", "create-contact", "KAFKA_BROKERS="+broker.Address())
	answered := l.invoke(lambdaSample(t, "create-contact"), 30*time.Second).http(t)
	require.Equal(t, http.StatusAccepted, answered.StatusCode, answered.Body)

	l.Signal(syscall.SIGSTOP)
	require.NoError(t, broker.Close())
	topicsAt(t, data, broker.Address())
	l.Signal(syscall.SIGCONT)

	answered = l.invoke(lambdaSample(t, "create-contact"), 30*time.Second).http(t)
	assert.Equal(t, http.StatusAccepted, answered.StatusCode, answered.Body)
}

// Concurrent invocations (AWS_LAMBDA_MAX_CONCURRENCY) each get their own answer.
func TestLambdaHandlesConcurrentInvocations(t *testing.T) {
	t.Parallel()
	const invocations = 30
	broker := topicsAt(t, t.TempDir(), dead(t))
	l := startLambda(t, "commands", "create-contact", "KAFKA_BROKERS="+broker.Address(), "AWS_LAMBDA_MAX_CONCURRENCY=8")
	var mu sync.Mutex
	var ids []string
	var all sync.WaitGroup
	begun := make([]*invocation, 0, invocations)
	sample := lambdaSample(t, "create-contact")
	for n := range invocations {
		// Otherwise all are one event, by their Idempotency-Key.
		payload := bytes.Replace(sample, []byte("Lovelace"), fmt.Appendf(nil, "Lovelace %d", n), 1)
		i := l.begin(payload, time.Minute)
		begun = append(begun, i)
		all.Go(func() {
			var accepted struct{ EventID string }
			answered := l.end(i).http(t)
			assert.Equal(t, http.StatusAccepted, answered.StatusCode, answered.Body)
			assert.NoError(t, json.Unmarshal([]byte(answered.Body), &accepted))
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, accepted.EventID)
		})
	}
	all.Wait()
	slices.Sort(ids)
	assert.Len(t, slices.Compact(ids), len(begun))
	assert.Len(t, program.Records(t, broker.Address(), "contact-created"), invocations)
}

// While the table does not answer, the function returns the batch before its deadline, in the form that the mapping
// expects, and the process continues.
func TestLambdaReturnsTheBatchInAnOutage(t *testing.T) {
	t.Parallel()
	broker := topicsAt(t, t.TempDir(), dead(t))
	for name, address := range map[string]string{"connection refused": dead(t), "no answer": silent(t)} {
		environment := []string{"KAFKA_BROKERS=" + broker.Address(), "DYNAMODB_ENDPOINT=http://" + address, "TABLE_NAME=sipeat"}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := startLambda(t, "consumers", "contact-created", environment...)
			named := startLambda(t, "consumers", "contact-created", append(environment, "PARTIAL_BATCH_RESPONSES=true")...)
			for range 2 { // the second is another invocation of the same process
				sample := lambdaSample(t, "contact-created")
				a, b := whole.begin(sample, 5*time.Second), named.begin(sample, 5*time.Second)
				one, other := whole.end(a), named.end(b)
				assert.Contains(t, one.failure, "contact-created")
				assert.Empty(t, other.failure)
				assert.Contains(t, string(other.response), `"itemIdentifier":{"partition":"contact-created-`)
			}
			assert.Empty(t, program.Records(t, broker.Address(), "contact-created.dead-letters"), "an outage causes no dead letters")
		})
	}
}

// A record that is no event is written to the dead-letter topic.
func TestLambdaRejectsRecordsThatAreNoEvents(t *testing.T) {
	t.Parallel()
	broker := topicsAt(t, t.TempDir(), dead(t))
	l := startLambda(t, "consumers", "contact-created",
		"KAFKA_BROKERS="+broker.Address(), "DYNAMODB_ENDPOINT=http://"+dead(t), "TABLE_NAME=sipeat")
	poison := regexp.MustCompile(`"value":"[^"]*"`).ReplaceAll(lambdaSample(t, "contact-created"), []byte(`"value":"cG9pc29u"`))
	answered := l.invoke(poison, 5*time.Second)
	assert.Contains(t, answered.failure, "the read model", "it cannot store its offsets, so the batch is retried")
	deadLetters := program.Records(t, broker.Address(), "contact-created.dead-letters")
	require.Len(t, deadLetters, 1)
	assert.True(t, slices.ContainsFunc(deadLetters[0].Headers, func(h kgo.RecordHeader) bool {
		return h.Key == "dead-letter-class" && string(h.Value) == "undecodable"
	}))
	assert.Contains(t, l.Stdout.String(), `"outcome":"rejected"`)
}

// A route for staff is closed without an authorizer and for a token without the scope.
func TestLambdaServesStaffOnly(t *testing.T) {
	t.Parallel()
	sample := lambdaSample(t, "create-notification")
	without := func(members ...string) []byte {
		var payload map[string]any
		require.NoError(t, json.Unmarshal(sample, &payload))
		at := payload
		for _, member := range members[:len(members)-1] {
			at = at[member].(map[string]any)
		}
		delete(at, members[len(members)-1])
		changed, err := json.Marshal(payload)
		require.NoError(t, err)
		return changed
	}
	broker := topicsAt(t, t.TempDir(), dead(t))
	l := startLambda(t, "commands", "create-notification", "KAFKA_BROKERS="+broker.Address(), "JWT_SCOPE=sipeat/staff",
		"API_BASE_PATH=/v1")
	assert.Equal(t, http.StatusUnauthorized, l.invoke(without("requestContext", "authorizer"), 30*time.Second).http(t).StatusCode)
	assert.Equal(t, http.StatusForbidden, l.invoke(without("requestContext", "authorizer", "jwt", "claims", "scope"),
		30*time.Second).http(t).StatusCode)
	own := bytes.ReplaceAll(sample, []byte(".execute-api.eu-central-1.amazonaws.com"), []byte(".example.com"))
	answered := l.invoke(own, 30*time.Second).http(t)
	assert.Equal(t, http.StatusAccepted, answered.StatusCode, answered.Body)
	assert.Regexp(t, "^/v1/notifications/", answered.Headers["Location"])
}
