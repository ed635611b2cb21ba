package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/functions/testdata"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/sipeat/sipeat/shared/web"
)

// needs records the rights that a running function uses. It stands in for the publisher, the notifier, the dead letters and
// a DynamoDB with empty tables.
type needs struct {
	mu     sync.Mutex
	rights []string
	keys   map[string][]string // by right: the partition keys that it was used for
	refuse error               // the notifier's answer
}

func (n *needs) note(right string, keys ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Contains(n.rights, right) {
		n.rights = append(n.rights, right)
	}
	if n.keys == nil {
		n.keys = map[string][]string{}
	}
	n.keys[right] = append(n.keys[right], keys...)
}

func (n *needs) Publish(_ context.Context, e events.Any) (bus.Position, error) {
	n.note("kafka-cluster:WriteData topic/" + e.Topic())
	return bus.Position{Topic: e.Topic()}, nil
}

func (n *needs) Notify(context.Context, notify.Message) error { return n.refuse }

// Write implements bus.DeadLetters.
func (n *needs) Write(_ context.Context, l bus.DeadLetter) error {
	n.note("kafka-cluster:WriteData topic/" + l.Encode().Topic)
	return nil
}

// ServeHTTP is a fake of DynamoDB. A transaction takes the rights of its parts
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html).
func (n *needs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var request struct {
		IndexName, TableName string
		TransactItems        []map[string]json.RawMessage
		RequestItems         map[string]any
	}
	body, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &request)
	answer, on := `{}`, item
	if _, batch := request.RequestItems[claimsTable]; batch || request.TableName == claimsTable {
		on = claims
	}
	switch operation {
	case "TransactWriteItems":
		for _, part := range request.TransactItems {
			for action, details := range part {
				n.note("dynamodb:"+action+"Item "+on, keysIn(details)...)
			}
		}
	case "Query":
		answer = `{"Items":[]}`
		if request.IndexName != "" {
			on = "index/" + request.IndexName
		}
		if request.IndexName == "place" { // whose rows are then read
			answer = `{"Items":[{"pk":{"S":"1/demand"},"sk":{"B":"AAAA"},"place":{"S":"1/berlin"},"at":{"B":"AAAA"}}]}`
		}
		n.note("dynamodb:Query "+on, keysIn(body)...)
	default:
		n.note("dynamodb:"+operation+" "+on, keysIn(body)...)
		if operation == "BatchGetItem" {
			answer = `{"Responses":{},"UnprocessedKeys":{}}`
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_, _ = io.WriteString(w, answer)
}

const claimsTable = "sipeat-claims"

// keysIn finds the partition keys of a request to DynamoDB, in its keys, its items and as :p of its key condition.
func keysIn(request []byte) (keys []string) {
	for _, found := range regexp.MustCompile(`"(?:pk|:p)":\{"S":"(1/[^"]*)"\}`).FindAllSubmatch(request, -1) {
		keys = append(keys, string(found[1]))
	}
	return keys
}

func (n *needs) store(t *testing.T) (*dynamodb.Store, *dynamodb.Claims) {
	t.Helper()
	table := httptest.NewServer(n)
	t.Cleanup(table.Close)
	cfg, err := dynamodb.FromEnvironment(func(name string) string { return map[string]string{"DYNAMODB_ENDPOINT": table.URL}[name] })
	require.NoError(t, err)
	s, err := dynamodb.Open(cfg, "sipeat")
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	c, err := dynamodb.OpenClaims(cfg, claimsTable, time.Now)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return s, c
}

// full is a read model that has everything.
type full struct{ store.Reader }

func (f full) Get(ctx context.Context, eventType, id string) (store.Item, error) {
	_, _ = f.Reader.Get(ctx, eventType, id)
	return anItem, nil
}

func (f full) List(ctx context.Context, q store.Query) (store.Page, error) {
	_, _ = f.Reader.List(ctx, q)
	return store.Page{Items: []store.Item{anItem}}, nil
}

var anItem = store.Item{ID: "x-1", Data: []byte(`{"id":"x-1","type":"contact"}`)}

// of runs a function with its sample in functions/testdata.
func (n *needs) of(t *testing.T, f function) []string {
	t.Helper()
	if f.Side == "consumers" {
		n.ofConsumer(t, f.Name)
	} else {
		var sample struct{ RawPath, Body string }
		text, err := testdata.Samples.ReadFile(f.Name + ".json")
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &sample))
		model, claims := n.store(t)
		all := append((commands.Commands{Publisher: n}).Functions(),
			(queries.Queries{Store: full{model}, Claims: claims}).Functions()...)
		handler := all[slices.IndexFunc(all, func(w web.Function) bool { return w.Name == f.Name })]
		handler.Staff = false
		router := web.Router([]web.Function{handler}, web.Options{Logger: slog.New(slog.DiscardHandler)})
		// Each filter may use its own index.
		for _, query := range []string{"", "?city=Berlin", "?country=Germany", "?machineId=m-1", "?type=contact"} {
			r := httptest.NewRequest(f.Method(), sample.RawPath+query, bytes.NewReader([]byte(sample.Body)))
			r.Header.Set("Content-Type", "application/json")
			router.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	require.NotEmpty(t, n.rights, "%s neither publishes nor reads with its sample", f.Name)
	return n.rights
}

// ofConsumer invokes the consumer like its bootstrap: with the sample of the topic, with a notifier that refuses, and
// with a record that cannot be decoded.
func (n *needs) ofConsumer(t *testing.T, name string) {
	t.Helper()
	sample, err := testdata.Samples.ReadFile(name + ".json")
	require.NoError(t, err)
	garbage := regexp.MustCompile(`"value":"[^"]*"`).ReplaceAll(sample, []byte(`"value":"AAAA"`))
	store, claims := n.store(t)
	all := consumers.Consumers{Publisher: n, Notifier: notify.Channels{{Notifier: n}}, Store: consumers.Projected(store),
		Claims: claims}
	functions := all.Functions()
	f := functions[slices.IndexFunc(functions, func(f consumers.Function) bool { return f.Name == name })]
	handler := trigger.New(f.Consumer, all.DeadLetters(n),
		trigger.Options{Advance: store.Advance, Logger: slog.New(slog.DiscardHandler)})
	for _, payload := range [][]byte{sample, garbage} {
		for _, n.refuse = range []error{nil, events.Errorf(events.Invalid, "no such address")} {
			_, err := handler.Invoke(t.Context(), payload)
			require.NoError(t, err, name)
		}
	}
}
