package dynamodb

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// server answers requests like DynamoDB, and records them.
type server struct {
	mu           sync.Mutex
	transactions [][]string // the actions of each, as JSON
	answer       func(n int, actions []string) (status int, body string, err error)
	puts         int      // without transaction
	queries      []string // their bodies
	query        string   // the answer to each
}

func (f *server) Do(r *http.Request) (*http.Response, error) {
	status, body := http.StatusOK, "{}"
	switch _, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); operation {
	case "PutItem":
		f.puts++
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
	return answer(r, status, body), nil
}

func answer(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

func open(t testing.TB, cfg aws.Config, name string) *Store {
	t.Helper()
	s, err := Open(cfg, name)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// openTo opens a read model whose requests go to client.
func openTo(t *testing.T, client aws.HTTPClient) *Store {
	cfg, err := FromEnvironment(env("DYNAMODB_ENDPOINT", "http://dynamodb.test"))
	require.NoError(t, err)
	cfg.HTTPClient = client
	return open(t, cfg, "drinks")
}

func cancel(reasons ...string) (int, string, error) {
	return 400, `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","Message":"cancelled",` +
		`"CancellationReasons":[` + strings.Join(reasons, ",") + `]}`, nil
}

const none, conflict = `{"Code":"None"}`, `{"Code":"TransactionConflict","Message":"is ongoing"}`

func taken(digest [32]byte) string {
	return `{"Code":"ConditionalCheckFailed","Item":{"pk":{"S":"x"},"digest":{"B":"` +
		base64.StdEncoding.EncodeToString(digest[:]) + `"}}}`
}

func faked(t *testing.T, answer func(int, []string) (int, string, error)) (*Store, *server) {
	f := &server{answer: answer}
	return openTo(t, f), f
}

func request(id string, drinks ...string) store.Item {
	return store.Item{Type: "request-created", ID: id, EventID: "e", CreatedAt: time.UnixMilli(5).UTC(),
		Data: []byte("{}"), Digest: [32]byte{1}, Labels: store.Labels{City: "Berlin ", Country: "DE"}, Drinks: drinks}
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
	assert.Equal(t, 1, strings.Count(strings.Join(actions, ""), `"Put"`))
}

func TestAnItemWithoutDrinksNeedsNoTransaction(t *testing.T) {
	t.Parallel()
	s, f := faked(t, nil)
	require.NoError(t, s.Put(t.Context(), request("1")))
	assert.Empty(t, f.transactions)
	assert.Equal(t, 1, f.puts)
}

func TestPutTriesAgainUntilItIsKnown(t *testing.T) {
	t.Parallel()
	s, f := faked(t, func(n int, _ []string) (int, string, error) {
		switch n {
		case 1:
			return cancel(none, conflict)
		case 2:
			return 500, "", nil
		}
		return cancel(taken([32]byte{1}), conflict) // an earlier try succeeded
	})
	require.NoError(t, s.Put(t.Context(), request("1", "Cola")))
	assert.Len(t, f.transactions, 3)

	s, f = faked(t, func(int, []string) (int, string, error) { return cancel(taken([32]byte{9}), conflict) })
	assert.Equal(t, events.Conflict, events.KindOf(s.Put(t.Context(), request("1", "Cola"))))
	assert.Len(t, f.transactions, 1, "an item that exists is answered at once")
}

// After a conflict a drink is counted in another row; the other drinks stay where they are.
func TestAHotDrinkIsCountedInAnotherRow(t *testing.T) {
	t.Parallel()
	s, f := faked(t, func(n int, _ []string) (int, string, error) {
		if n == 2 {
			return cancel(none, conflict, none)
		}
		return 200, "{}", nil
	})
	for n := range 3 {
		require.NoError(t, s.Put(t.Context(), request(fmt.Sprint(n), "Cola", "Tea")))
	}
	require.Len(t, f.transactions, 4)
	key := func(transaction, action int) string {
		return regexp.MustCompile(`"sk":\{"B":"([^"]*)"\}`).FindStringSubmatch(f.transactions[transaction][action])[1]
	}
	cola, tea := key(0, 1), key(0, 2)
	assert.Equal(t, [2]string{cola, tea}, [2]string{key(1, 1), key(1, 2)})
	assert.NotEqual(t, cola, key(2, 1))
	assert.Equal(t, [2]string{key(2, 1), tea}, [2]string{key(3, 1), key(3, 2)})
	assert.Equal(t, tea, key(2, 2))
}

func TestPutsShareTransactionsWhileOneRuns(t *testing.T) {
	t.Parallel()
	all := make(chan struct{})
	s, f := faked(t, func(int, []string) (int, string, error) {
		<-all
		return 200, "{}", nil
	})
	var puts sync.WaitGroup
	for n := range 60 {
		puts.Go(func() {
			item := request(fmt.Sprint(n), []string{"Cola", "Tea", "Mate"}[n%3])
			item.Data = []byte(`"` + strings.Repeat("x", 200<<10) + `"`)
			assert.NoError(t, s.Put(t.Context(), item))
		})
	}
	require.Eventually(t, func() bool { // one transaction runs, and the other puts wait
		f.mu.Lock()
		defer f.mu.Unlock()
		s.writer.mu.Lock()
		defer s.writer.mu.Unlock()
		return len(f.transactions) == 1 && strings.Count(strings.Join(f.transactions[0], ""), `"Put"`)+len(s.writer.queue) == 60
	}, time.Minute, time.Millisecond)
	close(all)
	puts.Wait()
	items, counted := 0, 0
	for _, actions := range f.transactions {
		assert.Less(t, len(strings.Join(actions, "")), 4<<20)
		for _, action := range actions {
			items += strings.Count(action, `"Put"`)
			if found := regexp.MustCompile(`":n":\{"N":"(\d+)"\}`).FindStringSubmatch(action); found != nil {
				n, err := strconv.Atoi(found[1])
				require.NoError(t, err)
				counted += n
			}
		}
	}
	assert.Equal(t, [2]int{60, 60}, [2]int{items, counted})
	assert.LessOrEqual(t, len(f.transactions), 7)
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

func TestAnUnreachableServerIsNamed(t *testing.T) {
	t.Parallel()
	cfg, err := FromEnvironment(env("DYNAMODB_ENDPOINT", "http://127.0.0.1:1")) // nothing listens there
	require.NoError(t, err)
	err = open(t, cfg, "drinks").Ping(t.Context())
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	require.ErrorContains(t, err, `table "drinks" at http://127.0.0.1:1, cannot be reached`)
}

// busy is DynamoDB as other processes see it: a transaction takes 10 ms, and one that meets another at a row is cancelled
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html). DynamoDB Local runs one at a time.
type busy struct {
	mu                   sync.Mutex
	rows                 map[string]bool // of the transactions that run
	committed, conflicts int
}

func (b *busy) Do(r *http.Request) (*http.Response, error) {
	var in struct {
		TransactItems []struct {
			Put, Update struct{ Key, Item json.RawMessage }
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var reasons, mine []string
	for _, action := range in.TransactItems {
		row := string(action.Put.Item) + string(action.Update.Key)
		if reasons = append(reasons, none); b.rows[row] {
			reasons[len(reasons)-1] = conflict
		}
		mine = append(mine, row)
	}
	if slices.Contains(reasons, conflict) {
		b.conflicts++
		status, body, err := cancel(reasons...)
		return answer(r, status, body), err
	}
	for _, row := range mine {
		b.rows[row] = true
	}
	b.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
	b.mu.Lock()
	for _, row := range mine {
		delete(b.rows, row)
	}
	b.committed++
	return answer(r, http.StatusOK, "{}"), nil
}

// The consumers of twelve partitions, each an environment of a Lambda function, count one drink.
func TestProcessesThatCountOneDrinkSeldomConflict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const each = 60
		server, began := &busy{rows: map[string]bool{}}, time.Now()
		var all sync.WaitGroup
		for process := range 12 {
			s := openTo(t, server)
			all.Go(func() {
				for n := range each {
					assert.NoError(t, s.Put(t.Context(), request(fmt.Sprint(process, "-", n), "Cola")))
				}
			})
		}
		all.Wait()
		t.Logf("%d transactions, %d conflicts, %s", server.committed, server.conflicts, time.Since(began))
		assert.Equal(t, 12*each, server.committed)
		assert.Less(t, server.conflicts, server.committed/10)
		assert.Less(t, time.Since(began), 4*each*10*time.Millisecond, "alone, one process takes a quarter of this")
	})
}
