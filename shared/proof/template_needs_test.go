package proof

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/require"
)

// needing notes the rights that a function's own code needs, by running it: as a publisher, as a notifier, and as a DynamoDB
// whose tables are empty.
type needing struct {
	mu     sync.Mutex
	rights []string
	fails  error // what the notifier says
}

func (n *needing) note(right string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Contains(n.rights, right) {
		n.rights = append(n.rights, right)
	}
}

func (n *needing) Publish(_ context.Context, e events.Any) (bus.Position, error) {
	n.note("kafka-cluster:WriteData topic/" + e.Topic())
	return bus.Position{Topic: e.Topic()}, nil
}

func (n *needing) Notify(context.Context, notify.Message) error { return n.fails }

// Write implements bus.DeadLetters.
func (n *needing) Write(_ context.Context, l bus.DeadLetter) error {
	n.note("kafka-cluster:WriteData topic/" + l.Encode().Topic)
	return nil
}

// ServeHTTP is the DynamoDB. A transaction takes the rights of its parts
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html).
func (n *needing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var asked struct {
		IndexName     string
		TableName     string
		TransactItems []map[string]any
		RequestItems  map[string]any
	}
	body, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &asked)
	answer, resource := `{}`, "<ReadModel.Arn>"
	if _, claims := asked.RequestItems[claimsTable]; claims || asked.TableName == claimsTable {
		resource = "<Claims.Arn>"
	}
	switch operation {
	case "TransactWriteItems":
		for _, part := range asked.TransactItems {
			for what := range part {
				n.note("dynamodb:" + what + "Item " + resource)
			}
		}
	case "Query":
		if asked.IndexName != "" {
			resource += "/index/" + asked.IndexName
		}
		n.note("dynamodb:Query " + resource)
		answer = `{"Items":[]}`
		if asked.IndexName == "place" { // of which the rows are then asked for
			answer = `{"Items":[{"pk":{"S":"1/demand"},"sk":{"B":"AAAA"},"place":{"S":"1/berlin"},"at":{"B":"AAAA"}}]}`
		}
	default:
		n.note("dynamodb:" + operation + " " + resource)
		if operation == "BatchGetItem" {
			answer = `{"Responses":{},"UnprocessedKeys":{}}`
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_, _ = io.WriteString(w, answer)
}

const claimsTable = "sipeat-claims"

func (n *needing) store(t *testing.T) (*dynamodb.Store, *dynamodb.Claims) {
	t.Helper()
	table := httptest.NewServer(n)
	t.Cleanup(table.Close)
	cfg, err := dynamodb.FromEnvironment(func(name string) string { return map[string]string{"DYNAMODB_ENDPOINT": table.URL}[name] })
	require.NoError(t, err)
	s, err := dynamodb.Open(cfg, "sipeat")
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	claims, err := dynamodb.OpenClaims(cfg, claimsTable, time.Now)
	require.NoError(t, err)
	t.Cleanup(func() { _ = claims.Close() })
	return s, claims
}

// ask calls a function, whoever may.
func ask(f web.Function, r *http.Request) {
	f.Staff = false
	web.Router([]web.Function{f}, web.Log(slog.New(slog.DiscardHandler))).ServeHTTP(httptest.NewRecorder(), r)
}

func needsOfCommand(t *testing.T, name string) []string {
	t.Helper()
	n := &needing{}
	for _, f := range (commands.Commands{Publisher: n}).Functions() {
		if f.Name != name {
			continue
		}
		_, path, _ := strings.Cut(f.Route, " ")
		for _, e := range endpoints {
			if e.path == path {
				r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(e.body))
				r.Header.Set("Content-Type", "application/json")
				ask(f, r)
			}
		}
	}
	require.NotEmpty(t, n.rights, "%s publishes nothing: has its path a row in endpoints?", name)
	return n.rights
}

// needsOfQuery asks with each parameter that narrows, for each may have an index.
func needsOfQuery(t *testing.T, name string) []string {
	t.Helper()
	n := &needing{}
	store, _ := n.store(t)
	for _, f := range (queries.Queries{Store: store}).Functions() {
		if f.Name != name {
			continue
		}
		_, path, _ := strings.Cut(f.Route, " ")
		for _, query := range []string{"", "?city=Berlin", "?country=Germany", "?machineId=m-1", "?type=contact"} {
			r := httptest.NewRequest(http.MethodGet, strings.ReplaceAll(path, "{id}", "x-1")+query, nil)
			ask(f, r)
		}
	}
	require.NotEmpty(t, n.rights, "%s reads nothing", name)
	return n.rights
}

// needsOfConsumer has it handle the sample of its topic, and again while people cannot be told, and what cannot be decoded.
func needsOfConsumer(t *testing.T, name string) []string {
	t.Helper()
	n := &needing{}
	for _, fails := range []error{nil, events.Errorf(events.Invalid, "no such address")} {
		n.fails = fails
		store, claims := n.store(t)
		for _, f := range (consumers.Consumers{Publisher: n, Notifier: n, Store: store, Claims: claims}).Functions() {
			if f.Name != name {
				continue
			}
			definition, known := events.Lookup(f.Consumer.Topic)
			require.True(t, known, name)
			sample, err := definition.Sample()
			require.NoError(t, err)
			reports := make(chan bus.Report, 8)
			engine := bus.NewEngine(f.Consumer, n, bus.Options{Report: func(r bus.Report) { reports <- r }})
			partition := engine.Open(0, nil)
			partition.Deliver([]bus.Record{
				{Topic: f.Consumer.Topic, Value: sample, Timestamp: time.Now()},
				{Topic: f.Consumer.Topic, Offset: 1, Value: []byte("no event"), Timestamp: time.Now()},
			})
			for range 2 {
				r := <-reports
				require.Contains(t, []bus.Outcome{bus.Done, bus.Rejected}, r.Outcome, "%s: %v", name, r.Err)
			}
			require.NoError(t, partition.Close(t.Context()))
		}
	}
	return n.rights
}
