package dynamodb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Put implements [store.Writer], by one request. A request whose answer was lost does no harm: the next finds the item, with the
// same digest, and its drinks counted.
func (s *Store) Put(ctx context.Context, item store.Item) error {
	if err := item.Check(); err != nil {
		return err
	}
	put := &types.Put{
		TableName: &s.name, Item: rowOf(item), ConditionExpression: aws.String("attribute_not_exists(pk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	demand := item.DemandEntries()
	request := func(ctx context.Context) error {
		_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: put.TableName, Item: put.Item,
			ConditionExpression: put.ConditionExpression, ReturnValuesOnConditionCheckFailure: put.ReturnValuesOnConditionCheckFailure})
		return err
	}
	if len(demand) > 0 {
		in := &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{Put: put}}}
		for _, e := range demand {
			in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Update: s.count(e)})
		}
		request = func(ctx context.Context) error { _, err := s.client.TransactWriteItems(ctx, in); return err }
		release, err := s.counters.take(ctx, demand)
		if err != nil {
			return s.fault(ctx, err)
		}
		defer release()
	}
	err := s.call(ctx, request)
	if kept, exists := existing(err); exists && len(kept) > 0 {
		if string(dataOf(kept["digest"])) == string(item.Digest[:]) {
			return nil
		}
		return store.OtherContent(item.Type, item.ID)
	}
	if tooLarge(err) {
		return events.Wrap(events.Invalid, err, "%s %q is larger than DynamoDB keeps", item.Type, events.LogID(item.ID))
	}
	return err
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
		UpdateExpression: aws.String("SET shownCountry = if_not_exists(shownCountry, :country), shownCity = if_not_exists(shownCity, :city), " +
			"shownDrink = if_not_exists(shownDrink, :drink), place = :place, #at = :at ADD asked :n"),
		ExpressionAttributeNames: map[string]string{"#at": at},
		ExpressionAttributeValues: row{
			":country": text(e.Shown.Country), ":city": text(e.Shown.City), ":drink": text(e.Shown.Drink), ":n": number(e.Shown.Count),
			":place": text(join(e.City)), ":at": data(ordered(e.Country, e.Drink)),
		},
	}
}

// counters lets the Puts of a handle that change the same counters take turns. Concurrent transactions of one row cancel each other, and
// with hundreds of them next to nothing would succeed.
type counters struct {
	mu    sync.Mutex
	taken map[store.DemandKey]chan struct{} // closed when they are released
}

func (c *counters) take(ctx context.Context, demand []store.DemandEntry) (release func(), err error) {
	mine := make(chan struct{})
	for {
		c.mu.Lock()
		var other chan struct{}
		for _, e := range demand {
			if other = c.taken[e.DemandKey]; other != nil {
				break
			}
		}
		if other == nil {
			break
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer c.mu.Unlock()
	if c.taken == nil {
		c.taken = map[store.DemandKey]chan struct{}{}
	}
	for _, e := range demand {
		c.taken[e.DemandKey] = mine
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, e := range demand {
			delete(c.taken, e.DemandKey)
		}
		close(mine)
	}, nil
}

func rowOf(item store.Item) row {
	l, f := item.Labels, item.Labels.Folded()
	r := row{
		pk: text(itemKey(item.Type, item.ID)), sk: data(noSortKey), at: data(when(item.CreatedAt, item.ID)), listIndex: text(join(item.Type)),
		"type": text(item.Type), "event": text(item.EventID), "digest": data(item.Digest[:]), "data": payload(item.Data),
	}
	for name, label := range map[string]string{"shownCity": l.City, "shownCountry": l.Country, "machineId": l.MachineID, "label": l.Type} {
		if label != "" {
			r[name] = text(label)
		}
	}
	for index, label := range map[string]string{cityIndex: f.City, countryIndex: f.Country, machineIndex: f.MachineID, kindIndex: f.Type} {
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
		return store.Item{}, fmt.Errorf("the row %q is no item of this version (%d bytes of digest): %w", textOf(r[pk]), len(digest), err)
	}
	item := store.Item{
		Type: textOf(r["type"]), ID: id, EventID: textOf(r["event"]), CreatedAt: created, Data: dataOf(r["data"]), Digest: [32]byte(digest),
		Labels: store.Labels{City: textOf(r["shownCity"]), Country: textOf(r["shownCountry"]), MachineID: textOf(r["machineId"]), Type: textOf(r["label"])},
	}
	if drinks, ok := r["drinks"].(*types.AttributeValueMemberL); ok {
		item.Drinks = make([]string, len(drinks.Value))
		for i, d := range drinks.Value {
			item.Drinks[i] = textOf(d)
		}
	}
	return item, nil
}
