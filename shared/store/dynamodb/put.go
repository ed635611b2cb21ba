package dynamodb

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sipeat/sipeat/shared/store"
)

// Put implements [store.Writer], by one request at most. A request whose answer was lost does no harm: the next finds the
// item, with the same digest, and its drinks counted.
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

// isNew is the condition of a new row.
const isNew = "attribute_not_exists(pk)"

// op is an item to put.
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

// writer gathers the Puts of a handle: those that wait while a transaction runs share the next one. So the Puts of a process
// never conflict at a drink that is in high demand, and it is counted once for all of them.
type writer struct {
	mu      sync.Mutex
	queue   []*op
	running bool
}

// share puts an item in a transaction with others.
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

// send sends the queue until it is empty.
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
			item, actions := [2]string{o.item.Type, o.item.ID}, 1
			for _, e := range o.demand {
				if !rows[e.DemandKey] {
					actions++
				}
			}
			size += len(o.item.Data)
			if len(batch) > 0 && (rows[item] || len(rows)+actions > maxActions || size > maxData) {
				return batch
			}
			batch, rows[item] = append(batch, o), true
			for _, e := range o.demand {
				rows[e.DemandKey] = true
			}
		}
		w.queue = w.queue[1:]
	}
	w.running = len(batch) > 0
	return batch
}

// transact puts items and counts their drinks in one transaction. Items that exist cancel it; they are answered, and the
// others sent again without them.
func (s *Store) transact(batch []*op) {
	for len(batch) > 0 {
		_, err := call(context.Background(), s.table, s.client.TransactWriteItems, s.transaction(batch))
		var canceled *types.TransactionCanceledException
		var rest []*op
		for i, o := range batch {
			var reason types.CancellationReason
			if errors.As(err, &canceled) && i < len(canceled.CancellationReasons) {
				reason = canceled.CancellationReasons[i]
			}
			if aws.ToString(reason.Code) == conditionFailed && len(reason.Item) > 0 {
				o.done <- o.item.Compare(dataOf(reason.Item["digest"]))
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
		default:
			for _, o := range batch {
				o.done <- err
			}
			return
		}
	}
}

func (s *Store) transaction(batch []*op) *dynamodb.TransactWriteItemsInput {
	in := &dynamodb.TransactWriteItemsInput{}
	var counters []store.DemandEntry // in the order of the requests
	for _, o := range batch {
		in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Put: &types.Put{
			TableName: &s.name, Item: o.row, ConditionExpression: aws.String(isNew),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}})
		for _, e := range o.demand {
			same := func(c store.DemandEntry) bool { return c.DemandKey == e.DemandKey }
			if i := slices.IndexFunc(counters, same); i >= 0 {
				counters[i].Shown.Count++
			} else {
				counters = append(counters, e)
			}
		}
	}
	for _, e := range counters {
		in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Update: s.count(e)})
	}
	return in
}

// count adds to a counter, which shows the spelling that came first.
func (s *Store) count(e store.DemandEntry) *types.Update {
	return &types.Update{
		TableName: &s.name, Key: keyOf(demandKey, counterKey(e.DemandKey)),
		UpdateExpression: aws.String("SET shownCountry = if_not_exists(shownCountry, :country), " +
			"shownCity = if_not_exists(shownCity, :city), " +
			"shownDrink = if_not_exists(shownDrink, :drink), place = :place, #at = :at ADD asked :n"),
		ExpressionAttributeNames: map[string]string{"#at": at},
		ExpressionAttributeValues: row{
			":country": text(e.Shown.Country), ":city": text(e.Shown.City), ":drink": text(e.Shown.Drink), ":n": number(e.Shown.Count),
			":place": text(join(e.City)), ":at": data(ordered(e.Country, e.Drink)),
		},
	}
}
