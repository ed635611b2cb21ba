package dynamodb

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sipeat/sipeat/shared/store"
)

// Put implements [store.Writer], by one request, unless other processes count the same drinks at the same time: after a
// conflict at a drink, a handle counts it in another row, of up to 16. A request whose answer was lost does no harm: the
// next finds the item, with the same digest, and its drinks counted.
func (s *Store) Put(ctx context.Context, item store.Item) error {
	if err := item.Check(); err != nil {
		return err
	}
	o := &op{ctx: ctx, item: item, row: rowOf(item), demand: item.DemandEntries(), done: make(chan error, 1)}
	if len(o.demand) > 0 {
		return s.share(o)
	}
	_, err := call(ctx, s.table, s.client.PutItem, &dynamodb.PutItemInput{TableName: &s.name, Item: o.row,
		ConditionExpression:                 aws.String(isNew),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	if kept, exists := existing(err); exists {
		return item.Compare(dataOf(kept["digest"]))
	}
	return err
}

const isNew = "attribute_not_exists(pk)"

type op struct {
	ctx    context.Context
	item   store.Item
	row    row
	demand []store.DemandEntry
	done   chan error
}

// A transaction may have 100 actions and 4 MB, of which maxData leaves some for labels and counters; if they need more, DynamoDB
// refuses it and its items are sent one by one
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html).
const maxActions, maxData = 100, 3 << 20

// counterRows is the largest number of rows of one counter. A handle counts in the first row until a conflict. maxHot is how many
// drinks it remembers that it counts in another row.
const counterRows, maxHot = 16, 1024

// writer gathers the Puts of a handle: those that wait while a transaction runs share the next one. So the Puts of a process
// never conflict at a drink that is in high demand, and it is counted once for all of them.
type writer struct {
	mu      sync.Mutex
	queue   []*op
	running bool
	hot     map[store.DemandKey]byte // the row in which a drink is counted; absent = the first. Of the sender.
}

func (s *Store) share(o *op) error {
	w := &s.writer
	w.mu.Lock()
	w.queue = append(w.queue, o)
	if !w.running {
		w.running = true
		go s.send()
	}
	w.mu.Unlock()
	select {
	case err := <-o.done:
		return err
	case <-o.ctx.Done():
		return s.fault(o.ctx, o.ctx.Err())
	}
}

func (s *Store) send() {
	for batch := s.writer.take(); len(batch) > 0; batch = s.writer.take() {
		s.transact(batch)
		runtime.Gosched() // so that the callers just answered can queue their next Put and share the next transaction
	}
}

// take takes a transaction from the queue; nil ends the sender.
func (w *writer) take() (batch []*op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rows, size := map[any]bool{}, 0 // those that count the same drink become one
	for len(w.queue) > 0 {
		o := w.queue[0]
		if o.ctx.Err() == nil { // else its caller has returned
			item, more := [2]string{o.item.Type, o.item.ID}, maps.Clone(rows)
			more[item] = true
			for _, e := range o.demand {
				more[e.DemandKey] = true
			}
			size += len(o.item.Data)
			if len(batch) > 0 && (rows[item] || len(more) > maxActions || size > maxData) {
				return batch
			}
			batch, rows = append(batch, o), more
		}
		w.queue = w.queue[1:]
	}
	w.running = len(batch) > 0
	return batch
}

// transact puts items and counts their drinks in one transaction. Items that exist cancel it; they are answered, and the
// others sent again without them. So are all after a conflict with another process.
func (s *Store) transact(batch []*op) {
	for try := 1; len(batch) > 0; try++ {
		counters := countersOf(batch)
		_, err := call(context.Background(), s.table, s.client.TransactWriteItems, s.transaction(batch, counters))
		var canceled *types.TransactionCanceledException
		var why []types.CancellationReason // by action
		if errors.As(err, &canceled) && len(canceled.CancellationReasons) == len(batch)+len(counters) {
			why = canceled.CancellationReasons
		}
		var rest []*op
		for i, o := range batch {
			if why != nil && aws.ToString(why[i].Code) == conditionFailed && len(why[i].Item) > 0 {
				o.done <- o.item.Compare(dataOf(why[i].Item["digest"]))
			} else {
				rest = append(rest, o)
			}
		}
		switch {
		case len(rest) < len(batch):
			batch = rest
		case len(batch) > 1 && (codeOf(err) == "ValidationException" || slices.Contains(reasons(err), "ValidationError")):
			for _, o := range batch { // one of them may be to blame
				s.transact([]*op{o})
			}
			return
		case why != nil && crowded(reasons(err)...) && try < maxAttempts:
			if len(s.writer.hot) > maxHot {
				clear(s.writer.hot)
			}
			for i, c := range counters { // a crowded drink is counted in another row from now on
				if crowded(aws.ToString(why[len(batch)+i].Code)) {
					s.writer.hot[c.DemandKey] = byte(1 + rand.IntN(counterRows-1))
				}
			}
			time.Sleep(rand.N(min(minBackoff<<try, maxBackoff))) //nolint:forbidigo // a backoff
		default:
			for _, o := range batch {
				o.done <- err
			}
			return
		}
	}
}

// countersOf are the drinks of a transaction, each with its count, in the order of the requests.
func countersOf(batch []*op) (counters []store.DemandEntry) {
	for _, o := range batch {
		for _, e := range o.demand {
			same := func(c store.DemandEntry) bool { return c.DemandKey == e.DemandKey }
			if i := slices.IndexFunc(counters, same); i >= 0 {
				counters[i].Shown.Count++
			} else {
				counters = append(counters, e)
			}
		}
	}
	return counters
}

func (s *Store) transaction(batch []*op, counters []store.DemandEntry) *dynamodb.TransactWriteItemsInput {
	in := &dynamodb.TransactWriteItemsInput{}
	for _, o := range batch {
		in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Put: &types.Put{
			TableName: &s.name, Item: o.row, ConditionExpression: aws.String(isNew),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}})
	}
	for _, e := range counters {
		in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Update: s.count(e, s.writer.hot[e.DemandKey])})
	}
	return in
}

// count adds to a row of a counter, which shows the spelling that came first.
func (s *Store) count(e store.DemandEntry, n byte) *types.Update {
	return &types.Update{
		TableName: &s.name, Key: keyOf(demandKey, counterRow(counterKey(e.DemandKey), n)),
		UpdateExpression: aws.String("SET shownCountry = if_not_exists(shownCountry, :country), " +
			"shownCity = if_not_exists(shownCity, :city), " +
			"shownDrink = if_not_exists(shownDrink, :drink), place = :place, #at = :at ADD asked :n"),
		ExpressionAttributeNames: map[string]string{"#at": at},
		ExpressionAttributeValues: row{
			":country": text(e.Shown.Country), ":city": text(e.Shown.City), ":drink": text(e.Shown.Drink), ":n": number(e.Shown.Count),
			":place": text(join(e.City)), ":at": data(counterRow(ordered(e.Country, e.Drink), n)),
		},
	}
}
