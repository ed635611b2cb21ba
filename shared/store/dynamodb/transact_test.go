package dynamodb

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// server answers requests as DynamoDB would, and remembers the transactions.
type server struct {
	mu           sync.Mutex
	transactions [][]string // the actions of each, as JSON
	answer       func(n int, actions []string) (status int, body string, err error)
	queries      []string // their bodies
	query        string   // the answer to each
}

func (f *server) Do(r *http.Request) (*http.Response, error) {
	status, body := http.StatusOK, "{}"
	switch _, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); operation {
	case "Query":
		raw, _ := io.ReadAll(r.Body)
		f.queries = append(f.queries, string(raw))
		body = f.query
	case "TransactWriteItems":
		var in struct{ TransactItems []json.RawMessage }
		raw, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, err
		}
		var actions []string
		for _, a := range in.TransactItems {
			actions = append(actions, string(a))
		}
		f.mu.Lock()
		f.transactions = append(f.transactions, actions)
		n := len(f.transactions)
		f.mu.Unlock()
		if f.answer != nil {
			var err error
			if status, body, err = f.answer(n, actions); err != nil {
				return nil, err
			}
		}
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func cancel(reasons ...string) (int, string, error) {
	return 400, `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","Message":"cancelled","CancellationReasons":[` + strings.Join(reasons, ",") + `]}`, nil
}

const none, conflict = `{"Code":"None"}`, `{"Code":"TransactionConflict","Message":"is ongoing"}`

func taken(digest [32]byte) string {
	return `{"Code":"ConditionalCheckFailed","Item":{"pk":{"S":"x"},"digest":{"B":"` + base64.StdEncoding.EncodeToString(digest[:]) + `"}}}`
}

func faked(t *testing.T, answer func(int, []string) (int, string, error)) (*Store, *server) {
	f := &server{answer: answer}
	cfg, err := FromEnvironment(func(name string) string { return map[string]string{"DYNAMODB_ENDPOINT": "http://dynamodb.test"}[name] })
	require.NoError(t, err)
	cfg.HTTPClient = f
	return open(t, cfg, "drinks"), f
}

func request(id string, drinks ...string) store.Item {
	i := store.Item{Type: "request-created", ID: id, EventID: "e", CreatedAt: time.UnixMilli(5).UTC(), Data: []byte("{}"), Digest: [32]byte{1},
		Labels: store.Labels{City: "Berlin ", Country: "DE"}, Drinks: drinks}
	return i
}

func operation(t *testing.T, ctx context.Context, id string, drinks ...string) *op { //nolint:revive // a test helper takes t first
	r, err := newRow(request(id, drinks...))
	require.NoError(t, err)
	return newOp(ctx, 1, r)
}

func TestAnItemAndItsDrinksAreOneTransaction(t *testing.T) {
	t.Parallel()
	s, f := faked(t, nil)
	require.NoError(t, s.Put(t.Context(), request("1", "Cola", "cola ", "Tea")))
	require.Len(t, f.transactions, 1)
	actions := f.transactions[0]
	require.Len(t, actions, 3)
	assert.Contains(t, actions[0], `"ConditionExpression":"attribute_not_exists(pk)"`)
	assert.Contains(t, actions[0], `"ReturnValuesOnConditionCheckFailure":"ALL_OLD"`)
	assert.Contains(t, actions[0], `"pk":{"S":"1/item/request-created/1"}`)
	assert.Contains(t, actions[1], `ADD asked :n`)
	assert.Contains(t, actions[1], `":n":{"N":"1"}`)
	assert.Contains(t, actions[1], `"Cola"`)
	assert.Contains(t, actions[2], `"Tea"`)
	assert.Equal(t, int(1), strings.Count(strings.Join(actions, ""), `"Put"`))
}

func TestABatchChangesACounterOnce(t *testing.T) {
	in := transaction("drinks", []*op{operation(t, t.Context(), "1", "Cola", "Tea"), operation(t, t.Context(), "2", "COLA"), operation(t, t.Context(), "3")})
	require.Len(t, in.TransactItems, 5)
	cola := in.TransactItems[3].Update
	assert.Equal(t, int64(2), numberOf(cola.ExpressionAttributeValues[":n"]))
	assert.Equal(t, "Cola", textOf(cola.ExpressionAttributeValues[":drink"]), "the first spelling")
	assert.Equal(t, int64(1), numberOf(in.TransactItems[4].Update.ExpressionAttributeValues[":n"]))
}

func TestWhatIsThereIsAnsweredAndTheRestTriedAgain(t *testing.T) {
	t.Parallel()
	ops := []*op{operation(t, t.Context(), "repeat", "Cola"), operation(t, t.Context(), "new", "Cola"), operation(t, t.Context(), "conflict")}
	s, f := faked(t, func(n int, _ []string) (int, string, error) {
		switch n {
		case 1: // a condition and somebody else's transaction at once
			return cancel(taken([32]byte{1}), none, taken([32]byte{9}), conflict)
		case 2:
			return cancel(none, conflict)
		case 3:
			return 0, "", errors.New("connection reset by peer")
		}
		return 200, "{}", nil
	})
	done := make(chan struct{})
	s.running.Go(func() { s.transact(ops); close(done) })
	require.NoError(t, <-ops[0].done)
	err := <-ops[2].done
	assert.Equal(t, events.Conflict, events.KindOf(err))
	if err := <-ops[1].done; err != nil { // a fault of the transport that the SDK does not know to pass
		assert.Equal(t, events.Unavailable, events.KindOf(err))
	}
	<-done
	require.Len(t, f.transactions[0], 4)
	require.Len(t, f.transactions[1], 2, "the item that is new, and its counter, once")
	assert.Contains(t, f.transactions[1][0], `1/item/request-created/new`)
	assert.Contains(t, f.transactions[1][1], `":n":{"N":"1"}`)
}

func TestAnOutageIsUnavailableAndEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	s, _ := faked(t, func(int, []string) (int, string, error) { return cancel(none, conflict) })
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	err := s.Put(ctx, request("1", "Cola"))
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)

	s, _ = faked(t, func(int, []string) (int, string, error) {
		return 400, `{"__type":"#AccessDeniedException","message":"no dynamodb:PutItem on arn:…"}`, nil
	})
	err = s.Put(t.Context(), request("1", "Cola"))
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	require.ErrorContains(t, err, `table "drinks" at http://dynamodb.test`)
}

func TestARefusedBatchIsSentItemByItem(t *testing.T) {
	t.Parallel()
	ops := []*op{operation(t, t.Context(), "good"), operation(t, t.Context(), "bad"), operation(t, t.Context(), "fine")}
	s, f := faked(t, func(_ int, actions []string) (int, string, error) {
		if strings.Contains(strings.Join(actions, ""), "/bad") {
			return 400, `{"__type":"#ValidationException","message":"Item size has exceeded the maximum allowed size"}`, nil
		}
		return 200, "{}", nil
	})
	s.transact(ops)
	require.NoError(t, <-ops[0].done)
	assert.Equal(t, events.Invalid, events.KindOf(<-ops[1].done))
	require.NoError(t, <-ops[2].done)
	assert.Len(t, f.transactions, 4)
}

func TestTransactionsUnderWayShareNoRow(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	under, most := map[string]bool{}, 0
	w := &writer{ctx: t.Context(), busy: map[string]bool{}}
	var all sync.WaitGroup
	w.start = func(run func()) bool { all.Go(run); return true }
	proceed := make(chan struct{})
	w.send = func(batch []*op) {
		keys, puts := map[string]bool{}, map[string]bool{}
		for _, o := range batch {
			assert.False(t, puts[o.keys[0]], "one item twice in a transaction")
			puts[o.keys[0]] = true
			for _, k := range o.keys {
				keys[k] = true
			}
		}
		assert.LessOrEqual(t, len(keys), maxActions)
		mu.Lock()
		for k := range keys {
			assert.False(t, under[k], k)
			under[k] = true
		}
		most = max(most, len(batch))
		mu.Unlock()
		<-proceed
		mu.Lock()
		for k := range keys {
			delete(under, k)
		}
		mu.Unlock()
		for _, o := range batch {
			o.answer(nil)
		}
	}
	var waiting sync.WaitGroup
	for n := range 400 {
		o := operation(t, t.Context(), fmt.Sprint(n%20), "Cola", fmt.Sprint("drink ", n%30), fmt.Sprint("rare ", n))
		waiting.Go(func() { assert.NoError(t, w.do(o)) })
	}
	require.Eventually(t, func() bool { // until some have to wait for each other
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.queue) > 30
	}, time.Minute, time.Millisecond)
	close(proceed)
	waiting.Wait()
	all.Wait()
	assert.Empty(t, w.busy)
	assert.Empty(t, w.queue)
	assert.Zero(t, w.flights)
	assert.Greater(t, most, 1)
}

func TestTheTableIsNamedWhenItIsMissing(t *testing.T) {
	t.Parallel()
	s := open(t, local(t), "there-is-none")
	err := s.Ping(t.Context())
	require.ErrorContains(t, err, `"there-is-none" at http`)
	require.ErrorContains(t, err, "`sipeat worker`")

	cfg := local(t)
	cfg.BaseEndpoint = aws.String("http://127.0.0.1:1") // nobody listens there
	begun := time.Now()
	err = open(t, cfg, "drinks").Ping(t.Context())
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	require.ErrorContains(t, err, `table "drinks" at http://127.0.0.1:1, cannot be reached`)
	assert.Less(t, time.Since(begun), 15*time.Second)
}

func contextThatEnds(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 50*time.Millisecond)
}
