package dynamodb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Put implements [store.Writer], by one request at most. A request whose answer was lost does no harm: the next finds the
// item, with the same digest, and its drinks counted.
func (s *Store) Put(ctx context.Context, item store.Item) error {
	if err := item.Check(); err != nil {
		return err
	}
	o := &op{
		ctx: ctx, eventType: item.Type, id: item.ID, digest: item.Digest, demand: item.DemandEntries(), done: make(chan error, 1),
		put: &types.Put{
			TableName: &s.name, Item: rowOf(item), ConditionExpression: aws.String("attribute_not_exists(pk)"),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		},
	}
	if len(o.demand) > 0 {
		if err := ctx.Err(); err != nil {
			return s.fault(ctx, err)
		}
		s.writer.add(o)
		select {
		case err := <-o.done:
			return err
		case <-ctx.Done():
			return s.fault(ctx, ctx.Err())
		case <-s.ctx.Done():
			return s.fault(ctx, s.ctx.Err())
		}
	}
	err := s.call(ctx, func(ctx context.Context) error {
		_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: o.put.TableName, Item: o.put.Item,
			ConditionExpression:                 o.put.ConditionExpression,
			ReturnValuesOnConditionCheckFailure: o.put.ReturnValuesOnConditionCheckFailure})
		return err
	})
	var exists *types.ConditionalCheckFailedException
	if errors.As(err, &exists) {
		return o.compare(exists.Item)
	}
	return o.refused(err)
}

// op is an item to put.
type op struct {
	ctx           context.Context
	put           *types.Put
	eventType, id string
	digest        [32]byte
	demand        []store.DemandEntry
	done          chan error
}

// compare distinguishes a repeat (nil) from a conflict.
func (o *op) compare(kept row) error {
	if string(dataOf(kept["digest"])) == string(o.digest[:]) {
		return nil
	}
	return store.OtherContent(o.eventType, o.id)
}

// refused is the error of an item that was sent alone.
func (o *op) refused(err error) error {
	if tooLarge(err) {
		return events.Wrap(events.Invalid, err, "%s %q is larger than DynamoDB keeps", o.eventType, events.LogID(o.id))
	}
	return err
}

// transact puts items and counts their drinks in one transaction. Items that exist cancel it; they are answered, and the
// others sent again without them.
func (s *Store) transact(batch []*op) {
	for len(batch) > 0 {
		in := &dynamodb.TransactWriteItemsInput{}
		var counters []store.DemandEntry // in the order of the requests
		for _, o := range batch {
			in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Put: o.put})
			for _, e := range o.demand {
				same := func(c store.DemandEntry) bool { return c.DemandKey == e.DemandKey }
				if i := slices.IndexFunc(counters, same); i >= 0 {
					counters[i].Shown.Count += e.Shown.Count
				} else {
					counters = append(counters, e)
				}
			}
		}
		for _, e := range counters {
			in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Update: s.count(e)})
		}
		err := s.call(context.Background(), func(ctx context.Context) error {
			_, err := s.client.TransactWriteItems(ctx, in)
			return err
		})
		var canceled *types.TransactionCanceledException
		var rest []*op
		for i, o := range batch {
			var reason types.CancellationReason
			if errors.As(err, &canceled) && i < len(canceled.CancellationReasons) {
				reason = canceled.CancellationReasons[i]
			}
			if aws.ToString(reason.Code) == conditionFailed && len(reason.Item) > 0 {
				o.done <- o.compare(reason.Item)
			} else {
				rest = append(rest, o)
			}
		}
		switch {
		case len(rest) < len(batch):
			batch = rest
		case err != nil && len(batch) > 1 && !slices.Contains(reasons(err), "TransactionConflict") && !throttled(err):
			for _, o := range batch { // one of them may be to blame
				s.transact([]*op{o})
			}
			return
		default:
			for _, o := range batch {
				o.done <- o.refused(err)
			}
			return
		}
	}
}

// tooLarge reports whether DynamoDB refuses an item for its size, which store.Item.Check should have prevented.
func tooLarge(err error) bool {
	var canceled *types.TransactionCanceledException
	message := ""
	if errors.As(err, &canceled) {
		for _, reason := range canceled.CancellationReasons {
			message += aws.ToString(reason.Message)
		}
	} else if codeOf(err) == "ValidationException" {
		message = err.Error()
	}
	return strings.Contains(message, "Item size has exceeded")
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

// The limits of a transaction are 100 actions and 4 MB
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html).
const (
	maxActions = 100
	maxBytes   = 3 << 20
	maxFlights = 16 // transactions at a time; what comes meanwhile shares the next ones
)

// writer gathers the Puts of a handle into transactions that have no row in common: those that wait for a counter which a running
// transaction changes share the next one. So only processes conflict at a drink that is in high demand, and few of them.
type writer struct {
	send  func(batch []*op)
	mu    sync.Mutex
	queue []*op
	busy  map[any]bool // the rows of running transactions: DemandKeys, and [2]string of items
	// flights is how many transactions are running.
	flights int
}

func (o *op) rows() []any {
	rows := make([]any, 1, 1+len(o.demand))
	rows[0] = [2]string{o.eventType, o.id}
	for _, e := range o.demand {
		rows = append(rows, e.DemandKey)
	}
	return rows
}

func (w *writer) add(o *op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, o)
	w.pump()
}

// pump sends what can be sent; w.mu is held.
func (w *writer) pump() {
	for w.flights < maxFlights && len(w.queue) > 0 {
		batch := w.take()
		if len(batch) == 0 {
			return
		}
		w.flights++
		go func() {
			w.send(batch)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.flights--
			for _, o := range batch {
				for _, row := range o.rows() {
					delete(w.busy, row)
				}
			}
			w.pump()
		}()
	}
}

// take takes a transaction from the queue. Waiting ops reserve their rows, so that they cannot starve.
func (w *writer) take() (batch []*op) {
	var rest []*op
	mine, reserved := map[any]bool{}, map[any]bool{}
	size := 0
	for i, o := range w.queue {
		if o.ctx.Err() != nil {
			continue // its caller has returned
		}
		rows := o.rows()
		free, more := !mine[rows[0]], 0
		for _, row := range rows {
			free = free && !w.busy[row] && !reserved[row]
			if !mine[row] {
				more++
			}
		}
		bytes := len(dataOf(o.put.Item["data"])) + 2048
		if free && len(batch) > 0 && (len(mine)+more > maxActions || size+bytes > maxBytes) {
			rest = append(rest, w.queue[i:]...)
			break
		}
		taken := reserved
		if free {
			taken, batch, size = mine, append(batch, o), size+bytes
		} else {
			rest = append(rest, o)
		}
		for _, row := range rows {
			taken[row] = true
		}
	}
	w.queue = rest
	for row := range mine {
		w.busy[row] = true
	}
	return batch
}

func rowOf(item store.Item) row {
	l, f := item.Labels, item.Labels.Folded()
	r := row{
		pk: text(itemKey(item.Type, item.ID)), sk: data(noSortKey), at: data(when(item.CreatedAt, item.ID)),
		listIndex: text(join(item.Type)),
		"type":    text(item.Type), "event": text(item.EventID), "digest": data(item.Digest[:]), "data": payload(item.Data),
	}
	for name, label := range map[string]string{"shownCity": l.City, "shownCountry": l.Country, "machineId": l.MachineID,
		"label": l.Type} {
		if label != "" {
			r[name] = text(label)
		}
	}
	for index, label := range map[string]string{cityIndex: f.City, countryIndex: f.Country, machineIndex: f.MachineID,
		kindIndex: f.Type} {
		if label != "" {
			r[index] = text(join(item.Type, label))
		}
	}
	if len(item.Drinks) > 0 {
		drinks := make([]types.AttributeValue, len(item.Drinks))
		for i, d := range item.Drinks {
			drinks[i] = text(d)
		}
		r["drinks"] = &types.AttributeValueMemberL{Value: drinks}
	}
	return r
}

// payload is kept byte for byte. It is a text where it can be, which is readable in the AWS console.
func payload(b json.RawMessage) types.AttributeValue {
	if utf8.Valid(b) {
		return text(string(b))
	}
	return data(b)
}

func itemOf(r row) (store.Item, error) {
	created, id, err := fromWhen(dataOf(r[at]))
	digest := dataOf(r["digest"])
	if err != nil || len(digest) != 32 {
		return store.Item{}, fmt.Errorf("the row %q is no item of this version (%d bytes of digest): %w", textOf(r[pk]),
			len(digest), err)
	}
	item := store.Item{
		Type: textOf(r["type"]), ID: id, EventID: textOf(r["event"]), CreatedAt: created, Data: dataOf(r["data"]),
		Digest: [32]byte(digest),
		Labels: store.Labels{City: textOf(r["shownCity"]), Country: textOf(r["shownCountry"]),
			MachineID: textOf(r["machineId"]), Type: textOf(r["label"])},
	}
	if drinks, ok := r["drinks"].(*types.AttributeValueMemberL); ok {
		item.Drinks = make([]string, len(drinks.Value))
		for i, d := range drinks.Value {
			item.Drinks[i] = textOf(d)
		}
	}
	return item, nil
}
